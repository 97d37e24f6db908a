import { expect, test as base, type Page } from '@playwright/test';
import { copyFile } from 'node:fs/promises';
import { join } from 'node:path';

import { Home } from '../pages/home';
import { Player } from '../pages/player';
import { alive, runsScripts } from '../support/alive';
import { fixture, LONG_MASTER } from '../support/files';
import { stopAfter } from '../support/network';
import { ROOT } from '../support/server';

/** The accounts that the demo prints. */
const PASSWORD = 'velvet harbour metronome';
const ARTIST = 'artist@vwaza.example';
const ADMIN = 'admin@vwaza.example';

/**
 * A screenshot of the whole page or of the window. Elements that stick to the window's edge look right only in a
 * screenshot of the window.
 */
type Part = 'page' | 'window';

const test = base.extend<{ shoot: (name: string, part?: Part) => Promise<void> }>({
  baseURL: async ({}, use) => use(process.env.VWAZA_E2E_URL),
  context: async ({ context }, use) => {
    runsScripts(context);
    // The very first page may be shown before the font has loaded.
    const first = await context.newPage();
    await first.goto('/sign-in');
    await alive(first);
    await first.close();
    await use(context);
  },
  shoot: async ({ page }, use, info) => {
    await use(async (name, part = 'page') => {
      await alive(page);
      await page.evaluate(() => Promise.all([...document.images].map((image) => image.decode().catch(() => {}))));
      const path = join(ROOT, 'target/screenshots', info.project.name, `${name}.png`);
      if (part === 'window') return void (await page.screenshot({ path }));
      // The window gets as high as the page, so that elements that stick to the window's edge are at the page's edge.
      const window = page.viewportSize();
      if (!window) throw new Error('the page has no window');
      await page.setViewportSize({ ...window, height: Math.max(window.height, await page.evaluate(() => document.body.scrollHeight)) });
      await page.screenshot({ path });
      await page.setViewportSize(window);
    });
  },
});

async function signIn(page: Page, email: string) {
  await page.goto('/sign-in');
  await alive(page);
  await page.getByLabel('E-mail').fill(email);
  await page.getByLabel('Password').fill(PASSWORD);
  await page.getByRole('main').getByRole('button', { name: 'Sign in' }).click();
  await page.getByRole('button', { name: 'Sign out' }).waitFor();
  await alive(page);
}

/** Waits until `seconds` seconds of a track have been played. */
async function hear(page: Page, seconds: number) {
  const player = new Player(page);
  await expect.poll(() => player.seconds(), { timeout: 60_000 }).toBeGreaterThan(seconds);
}

/** The address of a release, from the artist's list. */
async function address(page: Page, title: string): Promise<string> {
  await page.goto('/');
  const links = page.getByRole('region', { name: 'All releases' }).getByRole('link', { name: title, exact: true });
  return (await links.getAttribute('href')) ?? '';
}

test('signed out', async ({ page, shoot }) => {
  for (const [name, path] of [
    ['landing', '/'],
    ['sign-in', '/sign-in'],
    ['sign-in-after-reset', '/sign-in?reset=1'],
    ['sign-in-code', '/sign-in/code'],
    ['sign-up', '/sign-up'],
    ['forgot-password', '/forgot-password'],
    ['forgot-password-sent', '/forgot-password?sent=1'],
    ['reset-password', '/reset-password'],
    ['verify-email', '/verify-email'],
    ['not-found', '/nowhere'],
  ]) {
    await page.goto(path);
    await shoot(name);
  }
  await page.goto('/sign-up');
  await alive(page);
  await page.getByRole('button', { name: 'Create the account' }).click();
  await page.locator('.field-error').first().waitFor();
  await shoot('sign-up-refused');
});

test('artist', async ({ page, shoot }) => {
  await signIn(page, ARTIST);
  await shoot('home');
  await page.goto('/?q=nothing+like+it');
  await shoot('home-nothing-found');
  await page.goto('/account');
  await shoot('account');
  await alive(page);
  const twoFactor = page.getByRole('region', { name: 'Two-factor sign-in' });
  await twoFactor.getByLabel('Current password').fill(PASSWORD);
  await twoFactor.getByRole('button', { name: 'Set it up' }).click();
  await twoFactor.locator('.qr-code').waitFor();
  await page.getByRole('region', { name: 'Your data' }).locator('summary').click();
  await shoot('account-open');
  for (const [name, title] of [
    ['draft', 'Tidal Clockwork'],
    ['in-review', 'Night Bus'],
    ['published', 'Small Hours'],
    ['rejected', 'Ninety Shades of Blue'],
  ]) {
    await page.goto(await address(page, title));
    await shoot(`release-${name}`);
  }
  for (const [name, title] of [['', 'Tidal Clockwork'], ['-unfinished', 'Paper Lanterns']]) {
    const release = await address(page, title);
    for (const step of ['details', 'cover', 'tracks', 'submit']) {
      await page.goto(`${release}/${step}`);
      await shoot(`wizard-${step}${name}`);
    }
  }
  await page.goto(await address(page, 'Small Hours'));
  await alive(page);
  await page.getByRole('button', { name: 'Play Soft Machinery' }).click();
  await page.getByRole('region', { name: 'Player' }).waitFor();
  await hear(page, 4);
  await shoot('player', 'window');
  await page.keyboard.press('?');
  await shoot('keyboard-shortcuts', 'window');
});

test('an upload that resumes', async ({ page, context, shoot }, info) => {
  await signIn(page, ARTIST);
  const wizard = await new Home(page).newRelease();
  await page.getByLabel('Title', { exact: true }).fill('Slack Water');
  await wizard.expectSaved();
  await wizard.go('Tracks');
  const [first, second] = [info.outputPath('01 - Slack Water.wav'), info.outputPath('02 - Morning Shift.wav')];
  await Promise.all([copyFile(fixture('song.wav'), first), copyFile(fixture(LONG_MASTER), second)]);
  await page.locator('#tracks').setInputFiles(first);
  await page.getByRole('button', { name: 'Play Slack Water' }).waitFor();
  const [stopped] = await Promise.all([stopAfter(page, 3), page.locator('#tracks').setInputFiles(second)]);
  await context.setOffline(true);
  await stopped.breakOff();
  await expect(wizard.tracks().last()).toContainText('The upload continues by itself');
  await shoot('wizard-tracks-offline');
});

test('first day', async ({ page, shoot }, info) => {
  await page.goto('/sign-up');
  await alive(page);
  await page.getByLabel('Artist name').fill('New Here');
  await page.getByLabel('E-mail').fill(`new-${info.project.name}-${Date.now()}@vwaza.example`);
  await page.getByLabel('Password').fill(PASSWORD);
  await page.getByRole('button', { name: 'Create the account' }).click();
  await page.getByRole('heading', { name: 'Your first release' }).waitFor();
  await shoot('home-empty');
  await page.goto('/review');
  await shoot('forbidden');
});

test('admin', async ({ page, shoot }) => {
  await signIn(page, ADMIN);
  await page.goto('/review');
  await shoot('review-queue');
  await page.goto('/review?q=nothing+like+it');
  await shoot('review-queue-nothing-found');
  for (const [name, path] of [['all-releases', '/admin/releases'], ['all-artists', '/admin/artists'], ['operations', '/admin/operations'], ['operations-day', '/admin/operations?range=day'], ['queue', '/admin/queue'], ['jobs', '/admin/jobs'], ['audit', '/admin/audit']]) {
    await page.goto(path);
    await shoot(name);
  }
  await page.goto('/admin/jobs');
  await alive(page);
  await page.getByRole('table', { name: 'Jobs, the latest first' }).getByRole('link').first().click();
  await page.getByRole('region', { name: 'Failed attempts' }).waitFor();
  await shoot('job');
  await page.goto('/admin/artists');
  await alive(page);
  await page.getByRole('main').getByRole('link', { name: /^Account of/ }).first().click();
  await page.getByRole('region', { name: 'What you can do' }).waitFor();
  await page.locator('summary', { hasText: 'Make admin' }).click();
  await shoot('user');
  await page.goto('/review');
  await alive(page);
  await page.getByRole('link', { name: 'Salt on the Strings', exact: true }).click();
  await page.getByRole('heading', { name: 'Salt on the Strings' }).waitFor();
  await shoot('review');
  await page.getByRole('button', { name: 'Play Rope and Tar' }).click();
  await hear(page, 3);
  await shoot('review-playing', 'window');
  await page.getByText('MP3 is compressed with loss').first().scrollIntoViewIfNeeded();
  await shoot('review-findings', 'window');
  await page.keyboard.press('r');
  await page.getByRole('dialog', { name: 'Reject this release' }).waitFor();
  await shoot('review-reject', 'window');
});
