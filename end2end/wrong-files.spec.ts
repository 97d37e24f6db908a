import { mkdir } from 'node:fs/promises';

import { Account } from './pages/account';
import { Home } from './pages/home';
import { Player } from './pages/player';
import { ReleasePage } from './pages/release';
import { someDetails } from './pages/wizard';
import { expectAccessible } from './support/accessible';
import { fixture } from './support/files';
import { hold } from './support/network';
import { look } from './support/visibility';
import { EXAMINES_NOTHING, test as testWithServer, WHILE_RESTARTING } from './support/own-server';
import { newArtist, unique } from './support/people';
import { expect, test } from './support/test';

test.beforeEach(async ({ page, watch }) => {
  // The browser's own console message about a refused file.
  watch.expect(/status of 4(15|22).*\/api\/uploads?\//);
  await new Account(page).signUp(newArtist());
});

test('a picture that cannot be a cover is refused with a reason', async ({ page }) => {
  const wizard = await new Home(page).newRelease();
  await wizard.go('Cover');
  for (const [file, reason] of [
    ['not-a-cover.png', 'This is an SVG drawing. Export the cover as JPEG or PNG.'],
    ['cover-tiny.png', 'This picture is 300 × 300 px; a cover needs at least 640'],
    ['cover-oblong.png', 'This picture is 1600 × 900 px; a cover has to be square.'],
    ['cover-animated.png', 'This PNG is animated.'],
  ]) {
    await wizard.chooseCover(file);
    await expect(wizard.coverStep()).toContainText(reason);
  }
  await expectAccessible(page);

  await page.reload();
  await expect(wizard.coverStep(), 'the reason is there to stay').toContainText('This PNG is animated.');
  await wizard.open('cover');
  await wizard.chooseCover('cover-small.png');
  await expect(wizard.coverStep()).toContainText('1000 × 1000 px');
  await expect(wizard.coverStep()).not.toContainText('animated');
});

test('a file that cannot be a track is refused in its row', async ({ page }) => {
  const wizard = await new Home(page).newRelease();
  await wizard.go('Tracks');
  await wizard.chooseTracks('text-called.wav', 'truncated.wav', 'song.mp3');
  await expect(wizard.track('text-called')).toContainText('This is not an audio file that we know.');
  await expect(wizard.track('truncated')).toContainText('This file is incomplete');
  await expect(wizard.track('Early Ferry')).toContainText('MP3 is compressed with loss');
  await expect(wizard.checklist().getByRole('link', { name: '“truncated” has no audio' })).toBeVisible();
  await expectAccessible(page);

  await wizard.track('truncated').getByRole('button', { name: 'Remove “truncated”' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Remove the track' }).click();
  await expect(wizard.track('truncated')).toHaveCount(0);
  await wizard.track('text-called').locator('input[type=file]').setInputFiles(fixture('song.m4a'));
  await expect(wizard.tracks().last()).toContainText('ALAC');
  await expect(wizard.tracks()).toHaveCount(2);
});

testWithServer('a track that turns out to be damaged comes back with the reason', async ({ page, server, watch }) => {
  testWithServer.setTimeout(240_000);
  watch.expect(WHILE_RESTARTING);
  const wizard = await new Home(page).newRelease();
  await wizard.make(someDetails(`Broken Glass ${unique()}`));
  // The server examines nothing for now, so the damage is found only after the submit.
  await server.restart(EXAMINES_NOTHING);
  await wizard.go('Tracks');
  await wizard.chooseTracks('damaged.flac');
  await expect(wizard.tracks()).toHaveCount(2);
  await wizard.go('Review and submit');
  await wizard.submit();
  const release = new ReleasePage(page, wizard.id);
  await release.expectStatus('Examining');
  await server.restart();
  await release.expectStatus('Draft');
  await expect(release.timeline()).toContainText('A file could not be used; back to draft');
  const tracks = page.getByRole('region', { name: 'Tracks' }).getByRole('listitem');
  await expect(tracks.filter({ hasText: 'Needs your attention: ' })).toContainText('damaged');
  await expectAccessible(page);
  await new Home(page).open();
  const card = page.getByRole('region', { name: 'Continue' }).getByRole('listitem');
  await expect(card).toContainText('Needs your attention');
  await expect(card, 'with what is wrong').toContainText(/Replace “.+”/);
  await expect(card, 'the whole sentence stands where it is mended').not.toContainText('This file is damaged');

  await wizard.open('tracks');
  const damaged = wizard.tracks().filter({ hasText: 'Needs your attention' });
  await expect(damaged).toContainText('This file is damaged');
  await damaged.locator('input[type=file]').setInputFiles(fixture('song.aiff'));
  await expect(damaged).toHaveCount(0);
  await wizard.go('Review and submit');
  await wizard.submit();
  await release.expectStatus('Waiting for review');
  await page.getByRole('button', { name: /^Play (?!Night Bus)/ }).click();
  await new Player(page).expectProgress();
});

test('an empty folder becomes no track', async ({ page, context }, info) => {
  const wizard = await new Home(page).newRelease();
  await wizard.go('Tracks');
  const folder = info.outputPath('Album');
  await mkdir(folder);
  const devtools = await context.newCDPSession(page);
  const data = { items: [], files: [folder, fixture('song.flac')], dragOperationsMask: 1 };
  for (const type of ['dragEnter', 'dragOver', 'drop'] as const) {
    await devtools.send('Input.dispatchDragEvent', { type, x: 600, y: 400, data });
  }
  await expect(page.locator('.drop-notes')).toHaveText('The folder “Album” is empty.');
  await wizard.expectTitles('Night Bus');
  await expect(wizard.tracks()).toHaveCount(1);
});

test('a release shows a file that failed for good, and keeps its track', async ({ page }) => {
  const wizard = await new Home(page).newRelease();
  await wizard.go('Tracks');
  const message = 'It could not be stored. Your bytes are kept.';
  let state = 'failed';
  let id: string | undefined;
  await page.route('**/api/upload/complete', async (route) => {
    const response = await route.fetch();
    const status = await response.json();
    id = status.id;
    await route.fulfill({ response, json: { ...status, state: 'failed', message } });
  });
  await page.route('**/api/releases/view', async (route) => {
    const response = await route.fetch();
    const release = await response.json();
    const pending = { id, file_name: 'song.flac', offset: 1, length: 1, state, message };
    const tracks = release.tracks.map((track: object) => ({ ...track, audio: null, pending: id ? pending : null }));
    await route.fulfill({ response, json: { ...release, tracks } });
  });
  await wizard.chooseTracks('song.flac');
  const row = wizard.tracks();
  await expect(row).toContainText(`song.flac needs your attention. ${message}`);
  await expect(row.getByRole('button', { name: 'Dismiss: song.flac' })).toHaveCount(1);
  await expect(row.locator('input[type=file]')).toHaveCount(1);

  await test.step('an admin retries it', async () => {
    state = 'received';
    await look(page, true);
    await expect(row).toContainText('Safe with us; storing');
    await expect(row).not.toContainText('needs your attention');
    state = 'failed';
    await look(page, true);
    await expect(row).toContainText('needs your attention');
  });

  // The answer to the new title is the real release, in which no file has failed.
  const saveTitle = await hold(page, '**/api/tracks/save');
  await page.route('**/api/upload/cancel', async (route) => {
    id = undefined;
    await route.fulfill({ json: null });
  });
  await row.getByLabel('Title', { exact: true }).fill('Night Bus, live');
  await row.getByLabel('Title', { exact: true }).blur();
  await row.getByRole('button', { name: 'Dismiss: song.flac' }).click();
  await expect(row).not.toContainText('needs your attention');
  saveTitle();
  await page.unrouteAll({ behavior: 'wait' });
  await wizard.expectTitles('Night Bus, live');
});
