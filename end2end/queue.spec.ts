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
  await admin.getByRole('navigation', { name: 'Main' }).getByRole('link', { name: 'Operations' }).click();
  await admin.getByRole('navigation', { name: 'Operations' }).getByRole('link', { name: 'Jobs' }).click();
  await expect(queue.jobs().getByRole('rowheader')).toHaveText(['Store', 'Examine']);
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
