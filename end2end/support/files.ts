import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { FIXTURES } from './server';

/** Too large to be uploaded and examined before somebody looks. */
export const LONG_MASTER = '1 - morning_shift.wav';

export const fixture = (name: string) => join(FIXTURES, name);

/** A fixture under another name. */
export const named = (name: string, source: string, mimeType: string) => ({
  name,
  mimeType,
  buffer: readFileSync(fixture(source)),
});
