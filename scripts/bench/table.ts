import type { Row } from './figure.js';

/** A Markdown table: readable in a terminal, and it can go into a document as it is. */
export function table(rows: readonly Row[]): string {
  const cells = rows.map((row) => [
    row.figure,
    `${number(row.ours)} ${row.unit}`,
    row.peer === null ? '–' : number(row.peer),
    row.ratio === null ? '–' : `${row.ratio.toFixed(2)} ×`,
    row.goal === null
      ? '–'
      : `${row.better === 'higher' ? '≥' : '≤'} ${row.goal}${row.ratio === null ? '' : ' ×'}`,
    row.met === null ? '' : row.met ? 'yes' : 'NO',
    [row.spread.ours, row.spread.peer].map((r) => (r ? `${number(r[0])}–${number(r[1])}` : '–')).join('; '),
    row.note,
  ]);
  const head = ['figure', 'ours', 'peer', 'ratio', 'goal', 'met', 'least–most: ours; peer', 'note'];
  const widths = head.map((title, i) => Math.max(title.length, ...cells.map((line) => line[i]!.length)));
  // the note is long: no padding behind it
  const line = (values: readonly string[]) =>
    `| ${values.map((v, i) => (i === values.length - 1 ? v : v.padEnd(widths[i]!))).join(' | ')} |`;
  const rule = `|${widths.map((w, i) => '-'.repeat(i === widths.length - 1 ? 6 : w + 2)).join('|')}|`;
  return [line(head), rule, ...cells.map(line)].join('\n');
}

const number = (x: number) =>
  Math.abs(x) >= 100 ? x.toFixed(0) : Math.abs(x) >= 10 ? x.toFixed(1) : x.toFixed(2);
