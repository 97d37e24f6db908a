import { appendFile, copyFile } from 'node:fs/promises';

import type { Page } from '@playwright/test';

import { Account } from './pages/account';
import { Home } from './pages/home';
import { ReleasePage } from './pages/release';
import { someDetails, Wizard } from './pages/wizard';
import { expectAccessible } from './support/accessible';
import { alive } from './support/alive';
import { fixture, LONG_MASTER } from './support/files';
import { CHUNK_BYTES, chunkOffset, stopAfter, UPLOADS } from './support/network';
import { newArtist, unique } from './support/people';
import { expect, test } from './support/test';

/** Records the offset of each chunk that the browser sends. */
function offsets(page: Page): number[] {
  const sent: number[] = [];
  page.on('request', (request) => {
    const offset = chunkOffset(request);
    if (offset !== undefined) sent.push(offset);
  });
  return sent;
}

async function expectReceived(page: Page) {
  const table = page.getByRole('table', { name: 'Tracks' });
  await expect(table).toContainText(/Safe with us; examining|5:00/, { timeout: 60_000 });
}

test.beforeEach(async ({ page }) => {
  await new Account(page).signUp(newArtist());
});

test('an upload goes on by itself after the connection broke', async ({ page, watch }) => {
  watch.expect(/net::ERR_CONNECTION_RESET.*\/api\/uploads\//);
  const wizard = await new Home(page).newRelease();
  await wizard.go('Tracks');
  const sent = offsets(page);
  const [stopped] = await Promise.all([stopAfter(page, 3), wizard.chooseTracks(LONG_MASTER)]);
  await stopped.breakOff();
  await expectReceived(page);
  expect(sent.slice(0, 5), 'only the broken chunk is sent again').toEqual([0, 1, 2, 3, 3].map((chunk) => chunk * CHUNK_BYTES));
});

test('an upload waits while the browser is offline', async ({ page, context, watch }) => {
  watch.expect(/net::ERR_(CONNECTION_RESET|INTERNET_DISCONNECTED).*\/api\//);
  const wizard = await new Home(page).newRelease();
  await wizard.go('Tracks');
  const sent = offsets(page);
  const [stopped] = await Promise.all([stopAfter(page, 2), wizard.chooseTracks(LONG_MASTER)]);
  await context.setOffline(true);
  await stopped.breakOff();
  await expect(page.getByText('You are offline.', { exact: false })).toBeVisible();
  await expect(wizard.tracks().first()).toContainText('The upload continues by itself');
  await context.setOffline(false);
  await expect(page.getByText('You are offline.', { exact: false })).toBeHidden();
  await expectReceived(page);
  expect(sent.slice(0, 4), 'only the broken chunk is sent again').toEqual([0, 1, 2, 2].map((chunk) => chunk * CHUNK_BYTES));
});

test('an upload goes on after its session ended and its artist signed in again', async ({ page, context, watch }) => {
  watch.expect(/(net::ERR_CONNECTION_RESET|status of 401).*\/api\//);
  const artist = newArtist();
  await new Account(page).signUp(artist);
  const wizard = await new Home(page).newRelease();
  await wizard.go('Tracks');
  const sent = offsets(page);
  const [stopped] = await Promise.all([stopAfter(page, 2), wizard.chooseTracks(LONG_MASTER)]);
  await context.clearCookies();
  await stopped.breakOff();
  const row = wizard.tracks().first();
  await expect(row).toContainText('Sign in again; your upload is safe');
  await expect(row).not.toContainText('The connection broke');
  await expectAccessible(page);

  // The sign-in opens another tab, because this one has a file to send.
  const [other] = await Promise.all([context.waitForEvent('page'), row.getByRole('link', { name: 'Sign in' }).click()]);
  await new Account(other).signIn(artist);
  await expectReceived(page);
  expect(sent.slice(0, 4), 'only the broken chunk is sent again').toEqual([0, 1, 2, 2].map((chunk) => chunk * CHUNK_BYTES));
});

test('a session that ends after the last byte leaves nothing to be sent', async ({ page, watch }) => {
  watch.expect(/status of 401/);
  const wizard = await new Home(page).newRelease();
  await wizard.go('Tracks');
  const complete = '**/api/upload/complete';
  const signedOut = { statusCode: 401, error: 'Unauthorized', message: 'Sign in to continue.' };
  await page.route(complete, (route) => route.fulfill({ status: 401, json: signedOut }));
  await wizard.chooseTracks('song.flac');
  await expect(wizard.tracks()).toContainText('Sign in again; your upload is safe');
  await expect(wizard.tracks().getByRole('button', { name: /^(Cancel|Try again): / })).toHaveCount(0);
  await expect(wizard.tracks().getByRole('progressbar')).not.toHaveAttribute('value');

  const asked: string[] = [];
  page.on('dialog', (dialog) => dialog.accept().finally(() => asked.push(dialog.type())));
  await page.reload();
  expect(asked, 'leaving needs no warning').toEqual([]);
  await page.unroute(complete);
  await wizard.expectPlayable('Night Bus');
});

test('an upload resumes after the tab was closed in the middle of it', async ({ page }) => {
  const wizard = await new Home(page).newRelease();
  await wizard.go('Tracks');
  await Promise.all([stopAfter(page, 3), wizard.chooseTracks(LONG_MASTER)]);
  const asked = page.waitForEvent('dialog');
  const reloaded = page.reload();
  const dialog = await asked;
  expect(dialog.type(), 'leaving with unsent bytes warns').toBe('beforeunload');
  await dialog.accept();
  await reloaded;
  await page.unroute(UPLOADS);
  await alive(page);

  const row = wizard.tracks().first();
  await expect(row).toContainText('24 of 50 MB arrived. Choose the same file to continue');
  await expectAccessible(page);
  // No tab sends the file any more, so no page says that it is uploading.
  const elsewhere = await page.context().newPage();
  for (const path of ['/', `/releases/${wizard.id}`, `/releases/${wizard.id}/submit`]) {
    await elsewhere.goto(path);
    await expect(elsewhere.getByText(/(is|are) still uploading|^Uploading$/)).toHaveCount(0);
  }
  await expect(elsewhere.getByText(/has not finished uploading/i).first()).toBeVisible();
  await elsewhere.close();
  await expect(wizard.checklist()).toContainText('has not finished uploading');
  await expect(wizard.checklist()).not.toContainText('still uploading');
  const sent = offsets(page);
  await row.locator('input[type=file]').setInputFiles(fixture(LONG_MASTER));
  await expectReceived(page);
  expect(sent[0]).toBe(3 * CHUNK_BYTES);
  await expect(wizard.tracks()).toHaveCount(1);
});

test('a file that was changed in the middle of its upload is chosen once more in its row', async ({ page, watch }, info) => {
  watch.expect(/net::ERR_CONNECTION_RESET.*\/api\/uploads\//);
  const wizard = await new Home(page).newRelease();
  await wizard.go('Tracks');
  const file = info.outputPath('1 - morning_shift.wav');
  await copyFile(fixture(LONG_MASTER), file);
  const [stopped] = await Promise.all([stopAfter(page, 1), page.locator('#tracks').setInputFiles(file)]);
  await appendFile(file, 'more');
  await stopped.breakOff();
  const row = wizard.tracks().first();
  await expect(row).toContainText('Choose it again.');
  await row.locator('input[type=file]').setInputFiles(fixture(LONG_MASTER));
  await expect(row).not.toContainText('Choose it again.');
  await expectReceived(page);
  await expect(wizard.tracks()).toHaveCount(1);
});

test('a page catches up on the changes that it missed while the server was unreachable', async ({ page, newPage, watch }) => {
  watch.expect(/net::ERR_(FAILED|CONNECTION_RESET).*\/api\/releases\//);
  const artist = newArtist();
  await new Account(page).signUp(artist);
  const wizard = await new Home(page).newRelease();
  await wizard.make(someDetails(`Out of Reach ${unique()}`));
  const answers = ['**/api/releases/view', '**/api/releases/home'];
  const breakConnection = (page: Page) => Promise.all(answers.map((address) => page.route(address, (route) => route.abort())));
  const mendConnection = (page: Page) => Promise.all(answers.map((address) => page.unroute(address)));

  // The event stream stays open, and it sends each event only once.
  await wizard.go('Cover');
  await breakConnection(page);
  await wizard.chooseCover('cover.jpg');
  const other = await newPage();
  await new Account(other).signIn(artist);
  const there = new Wizard(other, wizard.id);
  await there.open('cover');
  await expect(there.coverStep()).toContainText(/JPEG · 3000\s×\s3000\spx/);
  await expect(wizard.coverStep()).not.toContainText(/JPEG · 3000\s×\s3000\spx/);
  await mendConnection(page);
  await expect(wizard.coverStep()).toContainText(/JPEG · 3000\s×\s3000\spx/);

  const release = new ReleasePage(page, wizard.id);
  const home = new Home(other);
  await release.open();
  await home.open();
  await Promise.all([breakConnection(page), breakConnection(other)]);
  const third = await newPage();
  await new Account(third).signIn(artist);
  const elsewhere = new Wizard(third, wizard.id);
  await elsewhere.open('submit');
  await elsewhere.submit();
  await new ReleasePage(third, wizard.id).expectStatus('Waiting for review');
  await expect(release.status()).toHaveText('Draft');
  await Promise.all([mendConnection(page), mendConnection(other)]);
  await release.expectStatus('Waiting for review');
  await expect(other.getByRole('region', { name: 'All releases' })).toContainText('Waiting for review');
});

test('a new cover does not show the facts of the old one', async ({ page }) => {
  const wizard = await new Home(page).newRelease();
  await wizard.go('Cover');
  await wizard.chooseCover('cover-small.png');
  await expect(wizard.coverStep()).toContainText('1000 × 1000 px');
  const [stopped] = await Promise.all([stopAfter(page, 0), wizard.chooseCover('cover.jpg')]);
  await expect(wizard.coverStep()).not.toContainText('1000 × 1000 px');
  await stopped.goOn();
  await expect(wizard.coverStep()).toContainText(/JPEG · 3000\s×\s3000\spx/);
  await expect(wizard.coverStep()).not.toContainText('1000 × 1000 px');
});

test('an unfinished upload from another device is not said to be safe', async ({ page, newPage }) => {
  const artist = newArtist();
  await new Account(page).signUp(artist);
  const wizard = await new Home(page).newRelease();
  await wizard.go('Cover');
  await wizard.chooseCover('cover-small.png');
  await expect(wizard.coverStep()).toContainText('1000 × 1000 px');
  await wizard.go('Tracks');
  await wizard.chooseTracks('song.flac');
  await wizard.expectPlayable('Night Bus');

  const laptop = await newPage();
  await new Account(laptop).signIn(artist);
  const there = new Wizard(laptop, wizard.id);
  await there.open('tracks');
  const replacement = there.track('Night Bus').locator('input[type=file]').setInputFiles(fixture(LONG_MASTER));
  await Promise.all([stopAfter(laptop, 0), replacement]);
  await expect(wizard.track('Night Bus')).toContainText('Choose the same file to continue: 1 - morning_shift.wav');
  await expect(wizard.track('Night Bus')).not.toContainText('Safe with us');

  await there.go('Cover');
  await there.chooseCover('cover.jpg');
  await wizard.go('Cover');
  await expect(wizard.coverStep()).toContainText('Choose the same file to continue: cover.jpg');
  await expect(wizard.coverStep()).not.toContainText('Safe with us');
});

test('a failed cancellation of an upload says so', async ({ page, watch }) => {
  watch.expect(/net::ERR_FAILED.*\/api\/(upload\/cancel|tracks\/remove)/);
  const wizard = await new Home(page).newRelease();
  await wizard.go('Tracks');
  await Promise.all([stopAfter(page, 1), wizard.chooseTracks(LONG_MASTER)]);
  await page.route('**/api/upload/cancel', (route) => route.abort());
  await page.route('**/api/tracks/remove', (route) => route.abort());
  await wizard.tracks().getByRole('button', { name: /^Cancel: / }).click();
  await expect(page.locator('.toast-bad')).toContainText('The server cannot be reached.');
});

test('no release can be submitted without the files that were chosen last', async ({ page }) => {
  const wizard = await new Home(page).newRelease();
  await wizard.make(someDetails(`Replaced ${unique()}`));
  await wizard.go('Tracks');
  await wizard.expectPlayable('Night Bus');
  await page.route('**/api/upload/begin', () => {});
  await wizard.track('Night Bus').locator('input[type=file]').setInputFiles(fixture('song.wav'));
  await wizard.go('Cover');
  await wizard.chooseCover('cover.jpg');
  await wizard.go('Review and submit');
  await expect(wizard.submitButton()).toBeDisabled();
  await expect(page.getByRole('link', { name: 'The new cover is not uploaded yet' })).toBeVisible();
  await page.getByRole('link', { name: '1 audio file is not uploaded yet' }).click();
  await wizard.track('Night Bus').getByRole('button', { name: /^Cancel: / }).click();
  await wizard.go('Review and submit');
  await expect(page.getByRole('link', { name: '1 audio file is not uploaded yet' })).toHaveCount(0);
  await expect(wizard.submitButton()).toBeDisabled();
});
