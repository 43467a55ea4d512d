import type { Board } from './board.js';

/** The folder of this process's control group (version 2), relative to the board's root; null when unknown. */
export function ownCgroup(board: Board): string | null {
  const found = /^0::(\/[^\n]{0,1000})$/m.exec(board.text('proc/self/cgroup') ?? '');
  // a group outside of the namespace's root is shown with ".."; it cannot be reached
  if (!found || found[1]!.split('/').includes('..')) return null;
  return `sys/fs/cgroup${found[1] === '/' ? '' : found[1]}`;
}
