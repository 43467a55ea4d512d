/** Loaded when something went wrong, not before. */
export { reportError } from '../index.js';
