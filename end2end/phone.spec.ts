import type { Page } from '@playwright/test';

import { Account } from './pages/account';
import { Home } from './pages/home';
import { ReleasePage } from './pages/release';
import { Review } from './pages/review';
import { someDetails } from './pages/wizard';
import { expectAccessible } from './support/accessible';
import { alive } from './support/alive';
import { mailTo } from './support/mail';
import { newArtist, unique } from './support/people';
import { call, submitReleases } from './support/submissions';
import { expect, test } from './support/test';

/** The smallest font size in a mail, in CSS pixels. */
const SMALLEST_LETTERS = 14;

/** Checks that the page fits into a width of 360 pixels, and that it is accessible at that width. */
async function expectFits(page: Page) {
  // A phone widens `window.innerWidth` to the widest content, so the test compares with the viewport.
  const width = await page.evaluate(() => document.documentElement.scrollWidth);
  expect.soft(width, `${page.url()} does not scroll sideways`).toBe(page.viewportSize()?.width);
  await expectAccessible(page);
}

test('everything works at the width of a phone', async ({ page, newAdmin, isMobile, hasTouch }) => {
  // Axe checks each page twice.
  test.setTimeout(240_000);
  const title = `A Title That Is Longer Than Any Phone Is Wide ${unique()}`;
  for (const address of ['/', '/sign-in', '/sign-up']) {
    await page.goto(address);
    await alive(page);
    await expectFits(page);
  }
  await new Account(page).signUp(newArtist('An Artist With Quite A Long Name'));
  await expectFits(page);
  const wizard = await new Home(page).newRelease();
  await expectFits(page);
  await wizard.fillDetails(someDetails(title));
  await wizard.expectSaved();
  await wizard.go('Cover');
  await wizard.chooseCover('cover-small.png');
  await expect(wizard.coverStep()).toContainText('1000 × 1000 px');
  await expectFits(page);
  await wizard.go('Tracks');
  await wizard.chooseTracks('song.flac', 'song.wav');
  await wizard.expectTitles('Night Bus', 'song');
  // The rows have reached their full height.
  await wizard.expectPlayable('Night Bus', 'song');
  await expect(page.getByRole('progressbar')).toHaveCount(0);
  await expectFits(page);
  await wizard.track('song').getByRole('button', { name: 'Move “song” up' }).tap();
  await wizard.expectTitles('song', 'Night Bus');
  await wizard.go('Review and submit');
  await expectFits(page);
  await wizard.submit();
  await new ReleasePage(page, wizard.id).expectStatus('Waiting for review');
  await expectFits(page);
  await page.getByRole('button', { name: 'Play Night Bus' }).tap();
  await expect(page.getByRole('region', { name: 'Player' })).toBeVisible();
  await expectFits(page);
  for (const address of ['/', '/account']) {
    await page.goto(address);
    await alive(page);
    await expectFits(page);
  }

  const admin = await newAdmin({ isMobile, hasTouch });
  await expectFits(admin);
  await new Review(admin).find(title);
  await expectFits(admin);
  for (const address of ['/admin/releases', '/admin/artists', '/admin/operations', '/admin/queue', '/admin/jobs', '/admin/audit']) {
    await admin.goto(address);
    await alive(admin);
    await expectFits(admin);
  }
});

/** Checks a mail as a phone's mail program shows it: nothing is wider than the screen, and no text is too small. */
async function expectReadable(page: Page, subject: string, html: string) {
  await page.setContent(html);
  const width = await page.evaluate(() => document.documentElement.scrollWidth);
  expect.soft(width, `“${subject}” does not scroll sideways`).toBe(page.viewportSize()?.width);
  const letters = await page.evaluate(() => {
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    const sizes: number[] = [];
    while (walker.nextNode()) {
      const element = walker.currentNode.parentElement;
      if (element && walker.currentNode.textContent?.trim()) sizes.push(parseFloat(getComputedStyle(element).fontSize));
    }
    return Math.min(...sizes);
  });
  expect.soft(letters, `“${subject}” is read without a magnifier`).toBeGreaterThanOrEqual(SMALLEST_LETTERS);
}

test('mails are readable at the width of a phone, whatever people have typed', async ({ page, newAdmin }) => {
  const tag = unique();
  const title = `${'Night'.repeat(30)} ${tag}`;
  const artist = newArtist('W'.repeat(80));
  await submitReleases(page.request, artist, [title]);
  await call(page.request, 'account/request-password-reset', { email: artist.email });
  const admin = await newAdmin();
  const inReview = async () => (await call(admin.request, 'review/queue', { search: tag, page: '1' })).rows;
  await expect.poll(async () => (await inReview()).length).toBe(1);
  const [{ id }] = await inReview();
  const { version } = await call(admin.request, 'releases/view', { id });
  await call(admin.request, 'review/reject', { id, version: `${version}`, reason: `${'Louder'.repeat(40)}\n\nAnd ${title}` });
  const newPassword = 'four other words, and a dot.';
  const newEmail = `${'long'.repeat(12)}.${unique()}@vwaza.example`;
  await mailTo(artist.email, 'Set a new password');
  await call(page.request, 'account/change-password', { current_password: artist.password, new_password: newPassword });
  await call(page.request, 'account/change-email', { email: newEmail, current_password: newPassword });
  const subjects = [
    'Set a new password',
    `“${title}” is submitted`,
    `“${title}” needs changes`,
    'Your password was changed',
    'Your e-mail address was changed',
  ];
  for (const subject of subjects) {
    const { html } = await mailTo(artist.email, subject);
    await expectReadable(page, subject, html);
  }
});
