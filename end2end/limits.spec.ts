/** The most frequent actions of honest users stay within the limits, on a server that applies them. */

import { readFileSync } from 'node:fs';
import type { Locator } from '@playwright/test';

import { Account } from './pages/account';
import { Home } from './pages/home';
import { Player } from './pages/player';
import { Review } from './pages/review';
import { fixture } from './support/files';
import { ADMINS, ADMIN_PASSWORD, newArtist } from './support/people';
import { inNetwork, isCounted, peakPerMinute, startProxy, type Proxy } from './support/proxy';
import { createAdmin, startServer } from './support/server';
import { submitReleases } from './support/submissions';
import { expect, test as base } from './support/test';

const PER_MINUTE = 100;
/** The timeout while sixty songs and forty covers are examined one after the other, beside other tests. */
const MINUTES = { timeout: 150_000 };
/** One minute is enough to measure a person's pace. `./dev test --soak` runs for the full time. */
const TYPING_MINUTES = process.env.VWAZA_SOAK ? 10 : 1;
const RELEASES = process.env.VWAZA_SOAK ? 40 : 20;
const RELEASES_OF_AN_ARTIST = 5;
/** The address of the person in each story. */
const HOME = '203.0.113.7';

const test = base.extend<{ reverseProxy: Proxy }>({
  reverseProxy: async ({}, use) => {
    const proxy = await startProxy();
    const server = await startServer({ VWAZA_PUBLIC_URL: proxy.url, VWAZA_TRUSTED_PROXIES: '127.0.0.0/8' });
    proxy.leadTo(server.url);
    try {
      createAdmin(server, ADMINS[0], ADMIN_PASSWORD);
      await use(proxy);
    } finally {
      await proxy.stop();
      await server.stop();
    }
  },
  baseURL: async ({ reverseProxy }, use) => use(reverseProxy.url),
});

test.use(inNetwork(HOME));

test.afterEach(async ({ reverseProxy, page }) => {
  const counted = reverseProxy.log.filter((passed) => passed.network === HOME && isCounted(passed));
  const peak = peakPerMinute(counted);
  test.info().annotations.push({ type: 'requests in the busiest minute', description: `${peak} of ${PER_MINUTE}` });
  console.log(`  ${peak} of ${PER_MINUTE} requests in the busiest minute: ${test.info().title}`);

  const refused = reverseProxy.log.filter(({ status }) => status === 429);
  expect(refused, 'nobody is refused').toEqual([]);
  const uncounted = counted.filter(({ status, limits }) => status && !limits?.includes('"api"'));
  expect(uncounted, 'the server has counted what we count').toEqual([]);
  expect(peak).toBeGreaterThan(0);
  expect(peak).toBeLessThanOrEqual(PER_MINUTE);

  // The open page would be refused, too, when it asks for what has changed.
  await page.goto('about:blank');
  // More requests are refused. Without this check, the checks above would prove nothing.
  const greedy = Array.from({ length: PER_MINUTE + 20 }, () => page.request.get('/api/nothing-here'));
  const answers = (await Promise.all(greedy)).map((answer) => answer.status());
  expect(answers.filter((status) => status === 429).length).toBeGreaterThanOrEqual(20);
});

test('an artist drops sixty tracks at once', async ({ page }) => {
  test.setTimeout(300_000);
  await new Account(page).signUp(newArtist());
  const wizard = await new Home(page).newRelease();
  await wizard.go('Tracks');
  const titles = Array.from({ length: 60 }, (_, index) => `Song ${String(index + 1).padStart(2, '0')}`);
  const buffer = firstSecondOf('song.wav');
  await wizard.drop(...titles.map((title) => ({ name: `${title}.wav`, mimeType: 'audio/wav', buffer })));
  await expect(wizard.tracks()).toHaveCount(titles.length);
  await expect(page.getByRole('button', { name: /^Play Song/ })).toHaveCount(titles.length, MINUTES);
  await wizard.expectPlayable(...titles);
  await wizard.expectTitles(...titles);
  // The page polls the state of each file until it is final.
  await expect(page.getByText('Safe with us')).toHaveCount(0, MINUTES);
  await wizard.open('tracks');
  await wizard.expectPlayable(...titles);
});

test('an artist types without a break while everything is saved', async ({ page }) => {
  const typingMs = TYPING_MINUTES * 60_000;
  test.setTimeout(typingMs + 120_000);
  await new Account(page).signUp(newArtist());
  const wizard = await new Home(page).newRelease();
  await wizard.go('Tracks');
  await wizard.chooseTracks('song.wav', 'song.aiff');
  await expect(wizard.tracks().getByText('0:08')).toHaveCount(2);

  // A slow typist causes the most requests: each pause is just long enough for the form to be saved.
  const delay = 650;
  const type = async (field: Locator, text: string) => {
    await field.press('ControlOrMeta+a');
    await field.pressSequentially(text, { delay });
  };
  const began = performance.now();
  const typed = { title: '', label: '', tracks: [''] };
  for (let round = 1; performance.now() - began < typingMs; round++) {
    Object.assign(typed, { title: `Slow Hand ${round}`, label: `Small Hours ${round}`, tracks: [`One ${round}`, `Two ${round}`] });
    await wizard.go('Details');
    await type(page.getByLabel('Title', { exact: true }), typed.title);
    await type(page.getByLabel('Label', { exact: true }), typed.label);
    await wizard.expectSaved();
    await wizard.go('Tracks');
    for (const [index, title] of typed.tracks.entries()) {
      await type(wizard.tracks().nth(index).getByRole('textbox', { name: 'Title', exact: true }), title);
      await expect(wizard.tracks().nth(index).getByRole('status').filter({ hasText: /^Saved$/ })).toBeVisible();
    }
  }

  await wizard.open('details');
  await expect(page.getByLabel('Title', { exact: true })).toHaveValue(typed.title);
  await expect(page.getByLabel('Label', { exact: true })).toHaveValue(typed.label);
  await wizard.open('tracks');
  await wizard.expectTitles(...typed.tracks);
});

test('a reviewer works through releases without a break', async ({ page, playwright, reverseProxy }) => {
  test.setTimeout(300_000);
  const artists = Array.from({ length: RELEASES / RELEASES_OF_AN_ARTIST }, async (_, artist) => {
    const http = await playwright.request.newContext({ baseURL: reverseProxy.url, ...inNetwork(`203.0.113.${100 + artist}`) });
    const titles = Array.from({ length: RELEASES_OF_AN_ARTIST }, (_, release) => `Release ${artist}.${release}`);
    await submitReleases(http, newArtist(), titles);
    await http.dispose();
  });
  await Promise.all(artists);

  await new Account(page).signIn({ email: ADMINS[0], password: ADMIN_PASSWORD });
  const review = new Review(page);
  const player = new Player(page);
  await expect(page.getByText(`${RELEASES} releases are waiting`)).toBeVisible(MINUTES);
  await page.getByRole('table').getByRole('link', { name: /^Release / }).first().click();
  const heading = page.getByRole('heading', { name: /^Release /, level: 1 });
  for (let left = RELEASES, last = ''; left > 0; left--) {
    await expect.poll(() => heading.textContent(), 'a verdict leads on to the next release').not.toBe(last);
    last = (await heading.textContent()) ?? '';
    await expect(review.verdict()).toBeVisible();
    // No reviewer decides faster than after one second of listening.
    await page.keyboard.press('Space');
    await expect.poll(() => player.seconds()).toBeGreaterThan(1);
    if (left % 4 === 0) {
      await review.reject('The cover is blurred or too small: stores want 3000 × 3000 pixels.');
    } else {
      await review.approveByKey();
    }
  }
  await expect(page.getByRole('heading', { name: 'Review queue', level: 1 })).toBeVisible();
  await expect(page.getByRole('table')).toHaveCount(0);
});

/** Cuts the first second out of a WAV with 16 bit, two channels and 44.1 kHz. */
function firstSecondOf(file: string): Buffer {
  const headerBytes = 44;
  const musicBytes = 44_100 * 4;
  const wav = Buffer.from(readFileSync(fixture(file)).subarray(0, headerBytes + musicBytes));
  wav.writeUInt32LE(headerBytes - 8 + musicBytes, 4);
  wav.writeUInt32LE(musicBytes, headerBytes - 4);
  return wav;
}
