import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { FIXTURES } from './server';

/** A file so large that a test can see its upload and its examination in progress. */
export const LONG_MASTER = '1 - morning_shift.wav';

export const fixture = (name: string) => join(FIXTURES, name);

/** A fixture under another file name. */
export const named = (name: string, source: string, mimeType: string) => ({
  name,
  mimeType,
  buffer: readFileSync(fixture(source)),
});
