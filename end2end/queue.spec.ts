import { Account } from './pages/account';
import { Home } from './pages/home';
import { Queue } from './pages/queue';
import { ReleasePage } from './pages/release';
import { expectAccessible } from './support/accessible';
import { fixture, named } from './support/files';
import { newArtist, unique } from './support/people';
import { expect, test } from './support/test';

/** A debug build decodes a long master slowly. */
const EXAMINATION = { timeout: 60_000 };

test('an admin retries and discards a file that failed for good, and its artist uploads another', async ({ page, newAdmin }) => {
  const file = `broken-${unique()}.flac`;
  await new Account(page).signUp(newArtist());
  const wizard = await new Home(page).newRelease();
  await wizard.go('Tracks');

  const admin = await newAdmin();
  const queue = new Queue(admin);
  await queue.open();
  const heading = admin.getByRole('heading', { name: 'Dead letters', exact: true });

  await test.step('the dead letter appears by itself, and says what went wrong', async () => {
    await expect(queue.letter(file)).toHaveCount(0);
    await page.locator('#tracks').setInputFiles(named(file, 'damaged.flac', 'audio/flac'));
    await expect(wizard.tracks()).toHaveCount(1);
    await expect(queue.letter(file)).toContainText('This file is damaged', EXAMINATION);
    await expect(queue.letter(file)).toContainText('Examine');
    await expectAccessible(admin);
  });

  await test.step('a retry fails again', async () => {
    const before = await queue.failedAt(file);
    // Two clicks send one request.
    await queue.retry(file, 2);
    await expect(admin.getByText('The file is in the queue again.')).toBeVisible();
    await expect(admin.getByRole('alert')).toHaveCount(0);
    await expect(heading).toBeFocused();
    const failedAgain = async () => ![undefined, before].includes(await queue.failedAt(file));
    await expect.poll(failedAgain, EXAMINATION).toBe(true);
    await expect(queue.letter(file)).toBeVisible();
  });

  await test.step('the file is discarded after a confirmation', async () => {
    await queue.discard(file, 'Keep it');
    await expect(queue.letter(file)).toBeVisible();
    await queue.discard(file, 'Discard the file');
    await expect(queue.letter(file)).toHaveCount(0);
    await expect(heading).toBeFocused();
    await expectAccessible(admin);
  });

  const release = new ReleasePage(page, wizard.id);
  await release.open();
  await expect(release.timeline()).toContainText(`“${file}” was discarded. This file is damaged`);
  await expectAccessible(page);
  await wizard.open('tracks');
  const row = wizard.tracks();
  await expect(row).toContainText(`An admin discarded ${file}. This file is damaged`);
  await row.locator('input[type=file]').setInputFiles(fixture('song.aiff'));
  await expect(row).not.toContainText('discarded');
  await expect(wizard.checklist()).not.toContainText('Replace');
});

test('an admin works through several dead letters by keyboard, and reads the page of a job', async ({ page, newAdmin, watch }) => {
  const word = unique();
  const files = [`first-${word}.flac`, `second-${word}.flac`];
  await new Account(page).signUp(newArtist());
  const wizard = await new Home(page).newRelease();
  await wizard.go('Tracks');
  for (const file of files) {
    await page.locator('#tracks').setInputFiles(named(file, 'damaged.flac', 'audio/flac'));
  }
  await expect(wizard.tracks()).toHaveCount(files.length);

  const admin = await newAdmin();
  const queue = new Queue(admin);
  await queue.open();
  for (const file of files) await expect(queue.letter(file)).toBeVisible(EXAMINATION);
  const heading = admin.getByRole('heading', { name: 'Dead letters', exact: true });

  await test.step('without a selection, nothing is sent to the dialog', async () => {
    watch.expect(/status of 400.*queue\/discard-many/);
    await admin.getByRole('button', { name: 'Discard selected' }).press('Enter');
    await expect(admin.getByRole('alert')).toContainText('Select at least one dead letter.');
  });

  await test.step('the page of a job tells what happened', async () => {
    await queue.letter(files[0]).getByRole('link', { name: files[0] }).press('Enter');
    await expect(admin.getByRole('heading', { name: `Examine “${files[0]}”`, level: 1 })).toBeVisible();
    await expect(admin.getByRole('region', { name: 'Failed attempts' })).toContainText('This file is damaged');
    await expect(admin.getByRole('region', { name: 'Other jobs of this file' })).toContainText('Store');
    await expectAccessible(admin);
    await admin.goBack();
    await expect(heading).toBeVisible();
  });

  await test.step('the selected files are discarded after a confirmation', async () => {
    for (const file of files) await queue.selection(file).press('Space');
    await expectAccessible(admin);
    await admin.getByRole('button', { name: 'Discard selected' }).press('Enter');
    const dialog = admin.getByRole('dialog', { name: 'Discard the selected files' });
    await expect(dialog).toContainText('2 files are deleted permanently.');
    await expectAccessible(admin);
    await admin.keyboard.press('Escape');
    await expect(dialog).toBeHidden();
    for (const file of files) await expect(queue.selection(file)).toBeChecked();
    await admin.getByRole('button', { name: 'Discard selected' }).press('Enter');
    await dialog.getByRole('button', { name: 'Discard the files' }).press('Enter');
    await expect(admin.getByText('2 files discarded. We tell their artists what to do.')).toBeVisible();
    for (const file of files) await expect(queue.letter(file)).toHaveCount(0);
    await expect(heading).toBeFocused();
  });

  await test.step('a job is found by the beginning of its file’s name', async () => {
    await queue.find(`FIRST-${word}`);
    await expect(queue.found().filter({ hasText: files[0] })).toHaveCount(2);
    await expect(queue.found().filter({ hasText: files[1] })).toHaveCount(0);
    await expectAccessible(admin);
    await admin.getByLabel('Kind').selectOption('Examine');
    await admin.getByRole('button', { name: 'Find jobs' }).click();
    await expect(admin).toHaveURL(/kind=examine/);
    await expect(queue.found().filter({ hasText: files[0] })).toHaveCount(1);
    await queue.find(`nothing-${word}`);
    await expect(admin.getByText('No jobs match')).toBeVisible();
    await expectAccessible(admin);
    await admin.getByRole('link', { name: 'Show all jobs' }).click();
    await expect(admin.getByLabel('Kind')).toHaveValue('');
  });
});
