import { mkdir, writeFile, copyFile } from 'node:fs/promises';
import { join } from 'node:path';

import type { Page } from '@playwright/test';

import { Account } from './pages/account';
import { Home } from './pages/home';
import { type Payload, Wizard } from './pages/wizard';
import { expectAccessible } from './support/accessible';
import { fixture, named } from './support/files';
import { test as testWithServer, WHILE_RESTARTING } from './support/own-server';
import { newArtist } from './support/people';
import { expect, test } from './support/test';

/** Records every request that begins an upload or carries bytes of one. */
function uploads(page: Page): string[] {
  const seen: string[] = [];
  page.on('request', (request) => {
    const path = new URL(request.url()).pathname;
    if (/^\/api\/uploads?\//.test(path) && !path.endsWith('/complete')) seen.push(`${request.method()} ${path}`);
  });
  return seen;
}

/** Makes a WAV of silence. */
const wav = (name: string, channels: number, hz: number, bits: number): Payload => {
  const frame = (channels * bits) / 8;
  const silence = Buffer.alloc(4800);
  const header = Buffer.alloc(44);
  header.write('RIFF', 0);
  header.writeUInt32LE(silence.length + 36, 4);
  header.write('WAVEfmt ', 8);
  header.writeUInt32LE(16, 16);
  header.writeUInt16LE(1, 20);
  header.writeUInt16LE(channels, 22);
  header.writeUInt32LE(hz, 24);
  header.writeUInt32LE(hz * frame, 28);
  header.writeUInt16LE(frame, 32);
  header.writeUInt16LE(bits, 34);
  header.write('data', 36);
  header.writeUInt32LE(silence.length, 40);
  return { name, mimeType: 'audio/wav', buffer: Buffer.concat([header, silence]) };
};

/** Makes the header of a FLAC with two channels of 16 bit at 48 kHz. */
const flacHeader = (name: string, hours: number): Payload => {
  const header = Buffer.alloc(42);
  header.write('fLaC', 0);
  header.writeUInt32BE(0x8000_0022, 4);
  header.writeUInt32BE(0x1000_1000, 8);
  const [rate, channels, bits, samples] = [48_000n, 2n, 16n, BigInt(hours * 3600 * 48_000)];
  header.writeBigUInt64BE((rate << 44n) | ((channels - 1n) << 41n) | ((bits - 1n) << 36n) | samples, 18);
  return { name, mimeType: 'audio/flac', buffer: header };
};

const notes = (page: Page) => page.locator('.drop-notes');

/** Drops files as from a file manager: folders come with their content. */
async function dropPaths(page: Page, ...files: string[]) {
  const devtools = await page.context().newCDPSession(page);
  const data = { items: [], files, dragOperationsMask: 1 };
  for (const type of ['dragEnter', 'dragOver', 'drop'] as const) {
    await devtools.send('Input.dispatchDragEvent', { type, x: 600, y: 400, data });
  }
}

async function newRelease(page: Page, step: 'Cover' | 'Tracks'): Promise<Wizard> {
  await new Account(page).signUp(newArtist());
  const wizard = await new Home(page).newRelease();
  await wizard.go(step);
  return wizard;
}

test('a picture that cannot be a cover is refused before a byte is sent', async ({ page }) => {
  const wizard = await newRelease(page, 'Cover');
  const sent = uploads(page);
  for (const [file, reason] of [
    ['cover-tiny.png', 'This picture is 300 × 300 px; a cover needs at least 640'],
    ['cover-oblong.png', 'This picture is 1600 × 900 px; a cover has to be square.'],
    ['cover-huge.png', 'This picture has an edge of 65535 px; a cover can have at most 6000'],
    ['not-a-cover.png', 'This is an SVG drawing. Export the cover as JPEG or PNG.'],
    ['song.wav', 'This is not a JPEG or PNG picture. Export the cover as JPEG or PNG.'],
  ]) {
    await wizard.chooseCover(file);
    await expect(wizard.coverStep()).toContainText(reason);
  }
  await expectAccessible(page);
  expect(sent).toEqual([]);

  await wizard.chooseCover('cover-small.png');
  await expect(wizard.coverStep()).toContainText('1000 × 1000 px');
  await expect(wizard.coverStep()).not.toContainText('Export the cover');

  await test.step('the cover in place stays', async () => {
    const before = sent.length;
    await wizard.chooseCover('cover-oblong.png');
    await expect(wizard.coverStep()).toContainText('a cover has to be square');
    await expect(wizard.coverPicture()).toBeVisible();
    expect(sent.length).toBe(before);
  });
});

test('audio that cannot be a track is refused in its row before a byte is sent', async ({ page }) => {
  const wizard = await newRelease(page, 'Tracks');
  const sent = uploads(page);
  const ogg = { name: 'Vorbis.ogg', mimeType: 'audio/ogg', buffer: Buffer.from(`OggS${'\0'.repeat(24)}\x01vorbis`) };
  await wizard.drop(
    wav('Surround.wav', 6, 48_000, 16),
    wav('Phone call.wav', 1, 8000, 16),
    wav('Eight bits.wav', 2, 44_100, 8),
    { ...ogg, name: 'Vorbis.ogg' },
    named('Words.wav', 'text-called.wav', 'audio/wav'),
    flacHeader('Endless.flac', 7),
  );
  for (const [title, reason] of [
    ['Surround', 'Surround.wav was not accepted. This file has 6 channels; stores take mono and stereo.'],
    ['Phone call', 'This file has 8 kHz; stores take 44.1 to 192 kHz.'],
    ['Eight bits', 'This file has 8 bit; stores take 16 or 24 bit.'],
    ['Vorbis', 'This is an Ogg'],
    ['Words', 'This is not an audio file that we know.'],
    ['Endless', 'This file is longer than 6 hours.'],
  ]) {
    await expect(wizard.track(title)).toContainText(reason);
  }
  expect(sent).toEqual([]);
  await expectAccessible(page);

  await wizard.track('Words').locator('input[type=file]').setInputFiles(fixture('song.flac'));
  await wizard.expectPlayable('Night Bus');
  await expect(wizard.track('Words')).toHaveCount(0);
  await wizard.track('Surround').getByRole('button', { name: 'Remove “Surround”' }).click();
  await expect(wizard.track('Surround')).toHaveCount(0);

  await test.step('a refused replacement leaves the track its file', async () => {
    const row = wizard.track('Night Bus');
    await row.locator('input[type=file]').setInputFiles(wav('Night Bus.wav', 6, 48_000, 16));
    await expect(row).toContainText('This file has 6 channels');
    await wizard.expectPlayable('Night Bus');
    await row.getByRole('button', { name: 'Dismiss: Night Bus.wav' }).click();
    await expect(row).not.toContainText('channels');
  });
});

testWithServer('a file over the limit is refused by the limit of this server', async ({ page, server, watch }) => {
  watch.expect(WHILE_RESTARTING);
  await server.restart({ VWAZA_MAX_AUDIO_MB: '1' });
  const wizard = await newRelease(page, 'Tracks');
  const sent = uploads(page);
  await wizard.chooseTracks('song.wav');
  await expect(wizard.track('song')).toContainText('This file is too large. The limit is 1.0 MB.');
  expect(sent).toEqual([]);
});

test('pictures among dropped audio go to the cover', async ({ page }) => {
  const wizard = await newRelease(page, 'Tracks');
  await wizard.drop(
    named('Back.jpg', 'cover.jpg', 'image/jpeg'),
    named('2 - Night Bus.flac', 'song.flac', 'audio/flac'),
    named('Cover.png', 'cover-small.png', 'image/png'),
    { name: 'Booklet.pdf', mimeType: 'application/pdf', buffer: Buffer.from('%PDF-1.7') },
  );
  await expect(notes(page)).toContainText('“Cover.png” becomes the cover.');
  await expect(notes(page)).toContainText('2 files were left out, because a release takes audio files and one cover only: “Back.jpg” and “Booklet.pdf”.');
  await wizard.expectPlayable('Night Bus');
  await expect(wizard.tracks()).toHaveCount(1);
  await expectAccessible(page);
  await wizard.go('Cover');
  await expect(wizard.coverStep()).toContainText('1000 × 1000 px');

  await test.step('a cover in place stays', async () => {
    await wizard.go('Tracks');
    await wizard.drop(named('Other.png', 'cover.png', 'image/png'));
    await expect(notes(page)).toContainText('“Other.png” was left out.');
    await page.getByRole('button', { name: 'Close this note' }).click();
    await expect(notes(page)).toHaveCount(0);
    await wizard.go('Cover');
    await expect(wizard.coverStep()).toContainText('1000 × 1000 px');
  });
});

test('a file that is dropped twice becomes one track', async ({ page }) => {
  const wizard = await newRelease(page, 'Tracks');
  const file = named('Morning.wav', 'song.wav', 'audio/wav');
  await wizard.drop(named('Evening.flac', 'song.flac', 'audio/flac'), file, file);
  await expect(notes(page)).toContainText('“Morning.wav” is already being uploaded.');
  await expect(wizard.tracks()).toHaveCount(2);
  await wizard.expectPlayable('Morning', 'Night Bus');

  await wizard.drop(file);
  await expect(notes(page)).toContainText('“Morning.wav” is already here: track 2. Is it a new version? Replace the audio of that track.');
  await page.reload();
  await wizard.open('tracks');
  await wizard.drop(file, named('Evening.flac', 'song.flac', 'audio/flac'));
  await expect(notes(page)).toContainText('2 files are already here: “Evening.flac” (track 1) and “Morning.wav” (track 2).');
  await expect(wizard.tracks()).toHaveCount(2);
  await expectAccessible(page);
});

test('only the audio files of a folder become tracks', async ({ page }, info) => {
  const wizard = await newRelease(page, 'Tracks');
  const papers = info.outputPath('Papers');
  await mkdir(papers, { recursive: true });
  for (const name of ['contract.pdf', 'notes.txt', '.DS_Store']) await writeFile(join(papers, name), 'words');
  await dropPaths(page, papers);
  await expect(notes(page)).toContainText('2 files were left out, because a release takes audio files and one cover only: “contract.pdf” and “notes.txt”.');
  await expect(wizard.tracks()).toHaveCount(0);

  const empty = info.outputPath('Empty');
  await mkdir(empty);
  await dropPaths(page, empty);
  await expect(notes(page)).toHaveText('The folder “Empty” is empty.');

  const album = info.outputPath('Album');
  for (const [path, source] of [
    ['CD 2/1 - Late.wav', 'song.wav'],
    ['CD 1/10 - Ten.aiff', 'song.aiff'],
    ['CD 1/2 - Two.m4a', 'song.m4a'],
    ['CD 1/._2 - Two.m4a', 'text-called.wav'],
    ['front.jpg', 'cover.jpg'],
  ]) {
    await mkdir(join(album, path, '..'), { recursive: true });
    await copyFile(fixture(source), join(album, path));
  }
  await dropPaths(page, album);
  await expect(notes(page)).toHaveText('“front.jpg” becomes the cover.');
  await expect(wizard.tracks()).toHaveCount(3);
  await wizard.expectTitles('Last Tram', 'Ten', 'Late');
});
