/** The audit trail: admins find who did what, and take it with them. */

import { Account } from './pages/account';
import { Home } from './pages/home';
import { Review } from './pages/review';
import { someDetails } from './pages/wizard';
import { expectAccessible } from './support/accessible';
import { alive } from './support/alive';
import { newArtist, unique } from './support/people';
import { expect, test } from './support/test';

test('an admin finds who rejected a release, and downloads what was found', async ({ page, newAdmin }) => {
  const [title, artist] = [`Traced ${unique()}`, newArtist()];
  await new Account(page).signUp(artist);
  const wizard = await new Home(page).newRelease();
  await wizard.make(someDetails(title));
  await wizard.submit();
  const admin = await newAdmin();
  await new Review(admin).find(title);
  await new Review(admin).reject('A track is cut off or has long silence at its end.');

  const table = admin.getByRole('table', { name: 'Audit trail' });
  await test.step('the page of the release leads to its entries', async () => {
    await admin.goto(`/review/${wizard.id}`);
    await alive(admin);
    const section = admin.getByRole('region', { name: 'Audit trail' });
    await expect(section).toContainText('Rejected: Waiting for review → Rejected');
    await expectAccessible(admin);
    await section.getByRole('link', { name: 'Show all entries' }).click();
    await expect(admin.getByRole('heading', { name: 'Audit trail', level: 1 })).toBeVisible();
    await expect(table.getByRole('row').filter({ hasText: 'Rejected' }).first()).toContainText('A track is cut off or has long silence at its end.');
    await expect(table.getByRole('row').filter({ hasText: 'All files examined' })).toContainText('System');
    await expectAccessible(admin);
  });

  await test.step('filters end up in the address, and fit together', async () => {
    await admin.getByLabel('Act', { exact: true }).selectOption('Submitted');
    await admin.getByRole('button', { name: 'Filter' }).click();
    await expect(admin).toHaveURL(/about=.*act=release-submitted/);
    await expect(table.getByRole('row').filter({ hasText: title })).toHaveCount(1);
    await admin.getByLabel('Until (UTC)').fill('2000-01-01');
    await admin.getByRole('button', { name: 'Filter' }).click();
    await expect(admin.getByText('No entries match')).toBeVisible();
    await expectAccessible(admin);
    await admin.getByRole('link', { name: 'Show all', exact: true }).click();
    await expect(table).toBeVisible();
    await expect(admin.getByLabel('Until (UTC)')).toHaveValue('');
    await expect(admin.getByLabel('Act', { exact: true })).toHaveValue('');
  });

  await test.step('a person is found by name', async () => {
    await admin.getByLabel('Person').fill(artist.name);
    await admin.getByLabel('About').selectOption('Account');
    await admin.getByRole('button', { name: 'Filter' }).click();
    const created = table.getByRole('row').filter({ hasText: 'Account created' });
    await expect(created, 'all others are filtered out').toHaveCount(1);
    await expect(created).toContainText(artist.name);
    await admin.reload();
    await alive(admin);
    await expect(admin.getByLabel('Person')).toHaveValue(artist.name);
  });

  await test.step('the download has what the filter shows', async () => {
    const download = admin.waitForEvent('download');
    await admin.getByRole('link', { name: 'Download as CSV' }).click();
    expect((await download).suggestedFilename()).toBe('vwaza-audit.csv');
    await admin.goto('/admin/audit?act=trail-exported');
    await expect(table.getByRole('row').filter({ hasText: 'subject=account' }).first()).toBeVisible();
  });
});
