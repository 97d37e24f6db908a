/** Proxies that answer instead of Vwaza in the middle of an upload: their answers say nothing about the file. */

import type { Page, Route } from '@playwright/test';

import { Account } from './pages/account';
import { Home } from './pages/home';
import type { Wizard } from './pages/wizard';
import { expectAccessible } from './support/accessible';
import { LONG_MASTER } from './support/files';
import { CHUNK_BYTES, chunkOffset, UPLOADS } from './support/network';
import { newArtist } from './support/people';
import { expect, test } from './support/test';

const MIB = 1024 * 1024;

/** The answer of a proxy: an error page of its own. */
const ownPage = (status: number, words: string) => ({ status, contentType: 'text/html', body: `<html><h1>${words}</h1></html>` });

/** Answers requests that carry bytes instead of the server, as long as `answer` returns an answer. */
async function answerInstead(page: Page, answer: (offset: number) => Parameters<Route['fulfill']>[0] | undefined) {
  await page.route(UPLOADS, async (route) => {
    const offset = chunkOffset(route.request());
    const given = offset === undefined ? undefined : answer(offset);
    return given ? route.fulfill(given) : route.continue();
  });
}

let wizard: Wizard;

test.beforeEach(async ({ page, watch }) => {
  watch.expect(/(status of (4|5)\d\d|net::ERR_\w+|CORS policy).*\/api\/upload/);
  await new Account(page).signUp(newArtist());
  wizard = await new Home(page).newRelease();
  await wizard.go('Tracks');
});

test('a proxy that accepts only small chunks gets small chunks', async ({ page }) => {
  const sent: number[] = [];
  await answerInstead(page, (offset) => {
    sent.push(offset);
    // Chunks of 8, 4 and 2 MiB are refused.
    return sent.length <= 3 ? ownPage(413, '413 Request Entity Too Large') : undefined;
  });
  await wizard.chooseTracks(LONG_MASTER);
  await expect(wizard.tracks().first()).toContainText(/Safe with us; examining|5:00/, { timeout: 90_000 });
  expect(sent.slice(0, 7)).toEqual([0, 0, 0, 0, MIB, 2 * MIB, 3 * MIB]);
});

test('a proxy that accepts no chunk at all is reported', async ({ page }) => {
  const sent: number[] = [];
  await answerInstead(page, (offset) => {
    sent.push(offset);
    return ownPage(413, '413 Request Entity Too Large');
  });
  await wizard.chooseTracks('song.flac');
  const row = wizard.tracks().first();
  await expect(row).toContainText('A server in front of Vwaza blocks this upload even in parts of');
  await expect(row).not.toContainText('Choose another one');
  expect(sent.length).toBe(Math.log2(CHUNK_BYTES / (256 * 1024)) + 1);
  await page.unroute(UPLOADS);
  await row.getByRole('button', { name: /^Try again: / }).click();
  await wizard.expectPlayable('Night Bus');
  await expect(wizard.tracks()).toHaveCount(1);
});

test('an upload survives a proxy that refuses one chunk after the other', async ({ page }) => {
  const statuses = [400, 404, 429, 500, 502, 503, 504];
  const refused: number[] = [];
  let passes = false;
  let isRead = () => {};
  let reading: Promise<void> | undefined;
  await page.route(UPLOADS, async (route) => {
    if (reading) {
      // The page's request after a refused chunk waits until the test has read the message in the row.
      await reading;
      reading = undefined;
      return route.continue();
    }
    const status = statuses[refused.length];
    if (status === undefined || passes || chunkOffset(route.request()) === undefined) {
      passes = false;
      return route.continue();
    }
    refused.push(status);
    passes = true;
    reading = new Promise((resolve) => (isRead = resolve));
    return route.fulfill(ownPage(status, 'nginx'));
  });
  await wizard.chooseTracks(LONG_MASTER);
  const row = wizard.tracks().first();
  for (const status of statuses) {
    await expect(row).toContainText(`Vwaza can't be reached right now (${status}). Your file is fine. The upload continues by itself.`);
    isRead();
  }
  await expect(row).toContainText(/Safe with us; examining|5:00/, { timeout: 90_000 });
  expect(refused).toEqual(statuses);
  await expect(wizard.tracks()).toHaveCount(1);
});

test('a proxy that answers instead of the server is reported', async ({ page, watch }) => {
  watch.expect(/Connecting to 'https:\/\/login\.example\/' violates/);
  const answers = [
    ownPage(200, 'Sign in to the hotel'),
    ownPage(403, 'Forbidden'),
    ownPage(401, 'Who are you?'),
    { status: 302, headers: { location: 'https://login.example/' } },
  ];
  let answer = answers[0];
  await page.route(UPLOADS, (route) => route.fulfill(answer));
  await wizard.chooseTracks('song.flac');
  const row = wizard.tracks().first();
  const tryAgain = row.getByRole('button', { name: /^Try again: / });
  for (const next of answers) {
    if (next !== answer) {
      answer = next;
      await tryAgain.click();
    }
    await expect(row).toContainText(`Another server answered instead of Vwaza (${answer.status})`);
    await expect(row).toContainText('sign in');
  }
  await expectAccessible(page);
  await page.unroute(UPLOADS);
  await tryAgain.click();
  await wizard.expectPlayable('Night Bus');
  await expect(wizard.tracks()).toHaveCount(1);
});

test('the upload of a cover survives a proxy, too', async ({ page }) => {
  await wizard.go('Cover');
  await page.route(UPLOADS, (route) => route.fulfill(ownPage(403, 'Forbidden')));
  await wizard.chooseCover('cover-small.png');
  await expect(wizard.coverStep()).toContainText('Another server answered instead of Vwaza (403)');
  await page.unroute(UPLOADS);
  await wizard.coverStep().getByRole('button', { name: /^Try again: / }).click();
  await expect(wizard.coverStep()).toContainText('1000 × 1000 px');
});
