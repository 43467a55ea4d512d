/** Unit of direct reads and of memory: offsets, lengths and addresses of direct reads are multiples of it. */
export const PAGE = 4096;

/** Start of the page that holds byte n. */
export const pageStart = (n: number): number => Math.floor(n / PAGE) * PAGE;

/** n rounded up to whole pages. */
export const pageEnd = (n: number): number => Math.ceil(n / PAGE) * PAGE;
