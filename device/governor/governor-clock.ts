/** The clocks of a governor; tests bring their own. */
export interface GovernorClock {
  /** Milliseconds that only grow. */
  elapsed(): number;
  /** Milliseconds since 1970. */
  time(): number;
  /** Calls again and again until the returned function is called. */
  every(milliseconds: number, call: () => void): () => void;
}

/** The process's clocks. The timer does not keep the process alive. */
export const SYSTEM_CLOCK: GovernorClock = {
  elapsed: () => performance.now(),
  time: () => Date.now(),
  every(milliseconds, call) {
    const timer = setInterval(call, milliseconds);
    timer.unref();
    return () => clearInterval(timer);
  },
};
