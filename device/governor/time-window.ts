export const DAYS = ['sunday', 'monday', 'tuesday', 'wednesday', 'thursday', 'friday', 'saturday'] as const;
export type Day = (typeof DAYS)[number];

/** A time of day, also across midnight; `days` are those on which it begins. */
export interface TimeWindow {
  /** Minutes after midnight, inclusive. */
  readonly from: number;
  /** Minutes after midnight, exclusive. Not after `from`: ends on the next day. */
  readonly to: number;
  /** Default every day. */
  readonly days: readonly Day[];
}

/** Time as a clock on the wall shows it. */
export interface LocalTime {
  readonly minute: number;
  readonly day: Day;
}

/** Whether the clock on the wall is within the window. It remembers nothing, so a clock that jumps does no harm. */
export function isWithin({ from, to, days }: TimeWindow, { minute, day }: LocalTime): boolean {
  if (from < to) return minute >= from && minute < to && days.includes(day);
  if (minute >= from) return days.includes(day);
  const yesterday = DAYS[(DAYS.indexOf(day) + 6) % 7]!;
  return minute < to && days.includes(yesterday);
}

/** A function from milliseconds since 1970 to local time. Throws RangeError for an unknown time zone. */
export function localClock(timeZone?: string): (time: number) => LocalTime {
  const format = new Intl.DateTimeFormat('en-GB', {
    hour: '2-digit',
    minute: '2-digit',
    weekday: 'long',
    hourCycle: 'h23',
    ...(timeZone !== undefined && { timeZone }),
  });
  return (time) => {
    const parts = new Map(format.formatToParts(time).map(({ type, value }) => [type, value]));
    return {
      minute: Number(parts.get('hour')) * 60 + Number(parts.get('minute')),
      day: parts.get('weekday')!.toLowerCase() as Day,
    };
  };
}
