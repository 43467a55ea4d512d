import { expect, test } from '@jest/globals';
import { openFlash } from '../../firmware-bridge/flash/open-flash.js';
import { kernelHasRings } from './subjects.js';

test('pread is the default', () => {
  const flash = openFlash({ lanes: 3 });
  expect(flash.backend).toBe('pread');
  expect(flash.lanes).toBe(3);
  flash.close();
});

test('io_uring where the kernel has rings, else pread', () => {
  const flash = openFlash({ lanes: 2, backend: 'io_uring' });
  expect(flash.backend).toBe(kernelHasRings() ? 'io_uring' : 'pread');
  flash.close();
});

test.each([0, -1, 65, 2.5])('%d lanes are refused', (lanes) => {
  expect(() => openFlash({ lanes })).toThrow(expect.objectContaining({ code: 'flash/request' }));
});
