/** What a proxy in front of Vwaza answers in the middle of an upload says nothing about the file. */

import type { Page, Route } from '@playwright/test';

import { Account } from './pages/account';
import { Home } from './pages/home';
import type { Wizard } from './pages/wizard';
import { expectAccessible } from './support/accessible';
import { LONG_MASTER } from './support/files';
import { CHUNK_BYTES, chunkOffset, UPLOADS } from './support/line';
import { newArtist } from './support/people';
import { expect, test } from './support/test';

const MIB = 1024 * 1024;

/** As a proxy gives it: a page of its own. */
const ownPage = (status: number, words: string) => ({ status, contentType: 'text/html', body: `<html><h1>${words}</h1></html>` });

/** Answers requests for bytes in the server's place for as long as `answer` has something to say. */
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

test('a proxy that takes small chunks only gets small chunks', async ({ page }) => {
  const sent: number[] = [];
  await answerInstead(page, (offset) => {
    sent.push(offset);
    // 8, 4 and 2 MiB.
    return sent.length <= 3 ? ownPage(413, '413 Request Entity Too Large') : undefined;
  });
  await wizard.chooseTracks(LONG_MASTER);
  await expect(wizard.tracks().first()).toContainText(/Safe with us; examining|5:00/, { timeout: 90_000 });
  expect(sent.slice(0, 7)).toEqual([0, 0, 0, 0, MIB, 2 * MIB, 3 * MIB]);
});

test('a proxy that takes no chunk at all is told of', async ({ page }) => {
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

for (const status of [400, 404, 429, 500, 502, 503, 504]) {
  test(`an upload outlasts a proxy that answers ${status}`, async ({ page }) => {
    let answers = 0;
    let isOver = () => {};
    const over = new Promise<void>((resolve) => (isOver = resolve));
    await page.route(UPLOADS, async (route) => {
      answers += 1;
      // The question after the refused chunk waits until somebody has read what the row says.
      if (answers === 2) await over;
      return answers === 1 ? route.fulfill(ownPage(status, 'nginx')) : route.continue();
    });
    await wizard.chooseTracks('song.flac');
    const row = wizard.tracks().first();
    await expect(row).toContainText(`Vwaza can't be reached right now (${status}). Your file is fine. It goes on by itself.`);
    isOver();
    await wizard.expectPlayable('Night Bus');
    await expect(wizard.tracks()).toHaveCount(1);
  });
}

for (const [name, answer] of [
  ['a sign-in page', ownPage(200, 'Sign in to the hotel')],
  ['a page that nobody may see', ownPage(403, 'Forbidden')],
  ['a question for a name', ownPage(401, 'Who are you?')],
  ['a way to another site', { status: 302, headers: { location: 'https://login.example/' } }],
] as const) {
  test(`a proxy that answers with ${name} is told of`, async ({ page, watch }) => {
    watch.expect(/Connecting to 'https:\/\/login\.example\/' violates/);
    await page.route(UPLOADS, (route) => route.fulfill(answer));
    await wizard.chooseTracks('song.flac');
    const row = wizard.tracks().first();
    await expect(row).toContainText(`Another server answered instead of Vwaza (${answer.status})`);
    await expect(row).toContainText('sign in');
    await expectAccessible(page);
    await page.unroute(UPLOADS);
    await row.getByRole('button', { name: /^Try again: / }).click();
    await wizard.expectPlayable('Night Bus');
    await expect(wizard.tracks()).toHaveCount(1);
  });
}

test('a cover outlasts a proxy, too', async ({ page }) => {
  await wizard.go('Cover');
  await page.route(UPLOADS, (route) => route.fulfill(ownPage(403, 'Forbidden')));
  await wizard.chooseCover('cover-small.png');
  await expect(wizard.coverStep()).toContainText('Another server answered instead of Vwaza (403)');
  await page.unroute(UPLOADS);
  await wizard.coverStep().getByRole('button', { name: /^Try again: / }).click();
  await expect(wizard.coverStep()).toContainText('1000 × 1000 px');
});
