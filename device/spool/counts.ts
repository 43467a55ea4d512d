import { RECORD_CLASSES, type RecordClass } from './record.js';

/** One number for each class of record. */
export type ClassCounts = Record<RecordClass, number>;

/** Zero for every class. */
export function noCounts(): ClassCounts {
  return { debug: 0, sample: 0, event: 0, alarm: 0, update: 0 };
}

/** Adds `more` to `counts`, in place. */
export function addCounts(counts: ClassCounts, more: Readonly<ClassCounts>): void {
  for (const name of RECORD_CLASSES) counts[name] += more[name];
}

/** The sum over all classes. */
export function totalOf(counts: Readonly<ClassCounts>): number {
  return RECORD_CLASSES.reduce((sum, name) => sum + counts[name], 0);
}
