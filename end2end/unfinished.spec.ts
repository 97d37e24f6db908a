import type { Page } from '@playwright/test';

import { Account } from './pages/account';
import { Home } from './pages/home';
import { expectAccessible, expectAccessibleWithoutScripts } from './support/accessible';
import { alive } from './support/alive';
import { fixture, LONG_MASTER } from './support/files';
import { stopAfter, UPLOADS } from './support/network';
import { newArtist } from './support/people';
import { expect, test } from './support/test';

/** The items of the submit step for tracks without a complete file. */
function unfinished(page: Page) {
  return page.locator('.submit-file');
}

test('an upload that never finished is continued or removed from the submit step', async ({ page }) => {
  await new Account(page).signUp(newArtist());
  const wizard = await new Home(page).newRelease();
  await wizard.go('Tracks');
  await Promise.all([stopAfter(page, 1), wizard.chooseTracks(LONG_MASTER)]);
  page.on('dialog', (dialog) => dialog.accept());
  await page.reload();
  await page.unroute(UPLOADS);
  await alive(page);

  await wizard.go('Review and submit');
  await expect(unfinished(page)).toContainText('“morning shift” has not finished uploading');
  await expectAccessible(page);
  await unfinished(page).getByRole('link', { name: /^Continue/ }).press('Enter');
  const row = wizard.track('morning shift');
  await expect(row).toBeFocused();
  await expect(row).toContainText(/8\S* of 50 MB arrived. Choose the same file to continue/);

  await wizard.go('Review and submit');
  const remove = unfinished(page).getByRole('button', { name: /^Remove/ });
  const asked = page.getByRole('dialog', { name: 'Remove this track' });
  await remove.press('Enter');
  await asked.getByRole('button', { name: 'Keep it' }).press('Enter');
  await expect(remove, 'who keeps it is where they were').toBeFocused();
  await remove.press('Enter');
  await asked.getByRole('button', { name: 'Remove the track' }).press('Enter');
  await expect(unfinished(page)).toHaveCount(0);
  await expect(page.locator('#submit-state')).toBeFocused();
  await expect(page.locator('#submit-state')).toContainText('Add at least one track');
});

test.describe('without JavaScript', () => {
  test.use({ javaScriptEnabled: false });

  test('an upload that never finished is continued or removed by a link and a form', async ({ page }) => {
    await new Account(page).signUp(newArtist());
    const wizard = await new Home(page).newRelease();
    const encoded = (text: string) => Buffer.from(text).toString('base64');
    const begin = (name: string) =>
      page.request.post('/api/uploads', {
        headers: {
          'Tus-Resumable': '1.0.0',
          'Upload-Length': '1000',
          'Upload-Metadata': `target ${encoded(`new-track:${wizard.id}`)},filename ${encoded(name)}`,
        },
      });
    for (const name of ['song.wav', 'other.wav']) expect((await begin(name)).status()).toBe(201);
    await wizard.open('submit');
    await expect(unfinished(page)).toHaveCount(2);
    await expectAccessibleWithoutScripts(page);

    await unfinished(page).filter({ hasText: '“song”' }).getByRole('link', { name: /^Continue/ }).click();
    const row = wizard.track('song');
    await row.locator('input[type=file]').setInputFiles(fixture('song.wav'));
    await row.getByRole('button', { name: 'Upload' }).click();
    await wizard.open('submit');
    await unfinished(page).filter({ hasText: '“other”' }).getByRole('button', { name: /^Remove/ }).click();
    await expect(page).toHaveURL(/\/submit$/);
    await expect(unfinished(page)).toHaveCount(0);
  });
});
