import type { Page } from '@playwright/test';

import { Player } from './pages/player';
import { ReleasePage } from './pages/release';
import { Wizard, someDetails } from './pages/wizard';
import { expectAccessible } from './support/accessible';
import { alive } from './support/alive';
import { fixture } from './support/files';
import { newArtist, unique } from './support/people';
import { expect, test } from './support/test';

/** More tab stops than any of our pages has. */
const MAX_STOPS = 60;

/** Presses Tab until the element with this accessible name has the focus. */
async function tabTo(page: Page, role: 'textbox' | 'button' | 'link' | 'combobox' | 'file', name: string | RegExp) {
  const target = role === 'file' ? page.getByLabel(name) : page.getByRole(role, { name, exact: true }).first();
  for (let stops = 0; stops < MAX_STOPS; stops++) {
    if (await target.evaluate((element) => element === document.activeElement).catch(() => false)) return;
    await page.keyboard.press('Tab');
  }
  throw new Error(`${role} “${name}” is not reached by Tab on ${page.url()}`);
}

async function choose(page: Page, label: string, ...files: string[]) {
  await tabTo(page, 'file', label);
  const [dialog] = await Promise.all([page.waitForEvent('filechooser'), page.keyboard.press('Space')]);
  await dialog.setFiles(files.map(fixture));
}

test('an artist submits and an admin approves a release with the keyboard alone', async ({ page, newAdmin }) => {
  const artist = newArtist();
  const details = someDetails(`By Hand ${unique()}`);
  // The listener is added early. One that is added at the key press may come too late for the event.
  page.on('filechooser', () => {});

  await page.goto('/');
  await alive(page);
  await tabTo(page, 'link', 'Sign up as an artist');
  await page.keyboard.press('Enter');
  await expect(page.getByRole('heading', { name: 'Sign up' })).toBeVisible();
  await tabTo(page, 'textbox', 'Artist name');
  for (const text of [artist.name, artist.email, artist.password]) {
    await page.keyboard.type(text);
    await page.keyboard.press('Tab');
  }
  await page.keyboard.press('Enter');
  await expect(page.getByRole('heading', { name: 'Your first release' })).toBeVisible();
  await alive(page);
  await tabTo(page, 'button', 'New release');
  await page.keyboard.press('Enter');
  await expect(page).toHaveURL(/\/details$/);
  await alive(page);

  const wizard = new Wizard(page, page.url().split('/').at(-2) ?? '');
  await test.step('details', async () => {
    await tabTo(page, 'textbox', 'Title');
    await page.keyboard.type(details.title);
    for (const [label, value] of [['Genre', 'Jazz'], ['Language', 'English']]) {
      await tabTo(page, 'combobox', label);
      await page.keyboard.type(value);
    }
    await page.keyboard.press('Tab');
    // Date fields use the order of the browser's own language, whatever the page's language is.
    await page.keyboard.type('01222027');
    await expect(page.getByLabel('Genre')).toHaveValue('Jazz');
    await expect(page.getByLabel('Language')).toHaveValue('eng');
    await expect(page.getByLabel('Release date')).toHaveValue('2027-01-22');
    for (const line of ['℗ line', '© line']) {
      await tabTo(page, 'textbox', line);
      await page.keyboard.type(details.line);
    }
    await page.keyboard.press('Enter');
    await expect(page).toHaveURL(/\/cover$/);
  });

  await test.step('cover and tracks', async () => {
    await expect(page.getByRole('heading', { name: 'Cover', level: 2 })).toBeFocused();
    await choose(page, 'Choose a cover', 'cover-small.png');
    await expect(wizard.coverStep()).toContainText('1000 × 1000 px');
    await tabTo(page, 'link', 'Continue');
    await page.keyboard.press('Enter');
    await expect(page.getByRole('heading', { name: 'Tracks', level: 2 })).toBeFocused();
    await choose(page, 'Choose audio files', 'song.flac', 'song.wav');
    await wizard.expectTitles('Night Bus', 'song');
    await tabTo(page, 'button', 'Move “song” up');
    await page.keyboard.press('Enter');
    await wizard.expectTitles('song', 'Night Bus');
    await expectAccessible(page);
    await expect(page.getByRole('button', { name: 'Move “song” up' })).toBeFocused();
    await tabTo(page, 'link', 'Continue');
    await page.keyboard.press('Enter');
  });

  await expect(wizard.submitButton()).toBeEnabled();
  await tabTo(page, 'button', 'Submit for review');
  await page.keyboard.press('Enter');
  const release = new ReleasePage(page, wizard.id);
  await release.expectStatus('Waiting for review');

  await test.step('an admin reviews with the keyboard', async () => {
    const admin = await newAdmin();
    await admin.keyboard.press('/');
    await expect(admin.getByRole('searchbox')).toBeFocused();
    await admin.keyboard.type(details.title);
    await admin.keyboard.press('Enter');
    const row = admin.getByRole('table').getByRole('link', { name: details.title });
    await expect(row).toBeVisible();
    // Leave the search field, where shortcuts are ordinary letters.
    await admin.keyboard.press('Tab');
    await admin.keyboard.press('k');
    await expect(row).toBeFocused();
    await admin.keyboard.press('Enter');
    await expect(admin.getByRole('heading', { name: details.title, level: 1 })).toBeVisible();
    await admin.keyboard.press('Space');
    const player = new Player(admin);
    await player.expectTrack('song');
    await player.expectProgress();
    await admin.keyboard.press('?');
    await expect(admin.getByRole('dialog', { name: 'Keyboard shortcuts' })).toBeVisible();
    await expectAccessible(admin);
    await admin.keyboard.press('Escape');
    await admin.keyboard.press('a');
    await tabTo(admin, 'button', 'Approve anyway');
    await admin.keyboard.press('Enter');
    await release.expectStatus('Published');
  });
});
