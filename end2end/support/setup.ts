import { closeSync, existsSync, mkdirSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs';

import { ADMINS, ADMIN_PASSWORD } from './people';
import { fixture, LONG_MASTER } from './files';
import { createAdmin, FIXTURES, LOG, runExample, startServer } from './server';

/** How often a minute of music is repeated. This is long enough for a test to see the examination. */
const MINUTES = 5;
const WAV_HEADER_BYTES = 44;

export default async function setup() {
  writeFixtures();
  rmSync(LOG, { force: true });
  const server = await startServer();
  for (const admin of ADMINS) createAdmin(server, admin, ADMIN_PASSWORD);
  process.env.VWAZA_E2E_URL = server.url;
  process.env.VWAZA_E2E_DATA = server.environment.VWAZA_DATA_DIR;
  return server.stop;
}

/** Writes the files that people upload, unless they are there. */
export function writeFixtures() {
  if (!existsSync(fixture('song.wav'))) runExample('fixtures', [FIXTURES]);
  if (!existsSync(fixture(LONG_MASTER))) writeLongMaster();
}

function writeLongMaster() {
  mkdirSync(FIXTURES, { recursive: true });
  const minute = readFileSync(fixture('long.wav'));
  const music = minute.subarray(WAV_HEADER_BYTES);
  const header = Buffer.from(minute.subarray(0, WAV_HEADER_BYTES));
  header.writeUInt32LE(WAV_HEADER_BYTES - 8 + music.length * MINUTES, 4);
  header.writeUInt32LE(music.length * MINUTES, WAV_HEADER_BYTES - 4);
  const file = openSync(fixture(LONG_MASTER), 'w');
  writeSync(file, header);
  for (let written = 0; written < MINUTES; written++) writeSync(file, music);
  closeSync(file);
}
