/** The order of buttons in dialogs: the harmless one comes first everywhere. */

import type { Locator } from '@playwright/test';

import { Account } from './pages/account';
import { Home } from './pages/home';
import { ReleasePage } from './pages/release';
import { Review } from './pages/review';
import { someDetails } from './pages/wizard';
import { newArtist, unique } from './support/people';
import { expect, test } from './support/test';

async function expectOrder(dialog: Locator, harmless: string, other: string) {
  const buttons = dialog.locator('.dialog-actions').getByRole('button');
  await expect(buttons).toHaveText([harmless, other]);
  const [first, second] = await Promise.all([buttons.nth(0).boundingBox(), buttons.nth(1).boundingBox()]);
  expect(first && second && (first.x < second.x || first.y < second.y), 'they stand as they are read').toBe(true);
}

test('the buttons of every dialog are in one order', async ({ page, newAdmin }) => {
  const title = `In Order ${unique()}`;
  await new Account(page).signUp(newArtist());
  const draft = await new Home(page).newRelease();
  await draft.make(someDetails(title));
  await draft.go('Tracks');
  await draft.track('Night Bus').getByRole('button', { name: 'Remove “Night Bus”' }).click();
  const removing = page.getByRole('dialog', { name: 'Remove this track' });
  await expectOrder(removing, 'Keep it', 'Remove the track');
  await removing.getByRole('button', { name: 'Keep it' }).click();
  await new ReleasePage(page, draft.id).open();
  await page.getByRole('button', { name: 'Delete draft' }).click();
  const deleting = page.getByRole('dialog', { name: 'Delete this draft' });
  await expectOrder(deleting, 'Keep it', 'Delete draft');
  await deleting.getByRole('button', { name: 'Keep it' }).click();
  await draft.open('submit');
  await draft.submit();
  await new ReleasePage(page, draft.id).expectStatus('Waiting for review');

  const admin = await newAdmin();
  await new Review(admin).find(title);
  await new Review(admin).verdict().getByRole('button', { name: 'Approve' }).click();
  const approving = admin.getByRole('dialog', { name: 'Approve with warnings' });
  await expectOrder(approving, 'Keep listening', 'Approve anyway');
  await approving.getByRole('button', { name: 'Keep listening' }).click();
  await admin.keyboard.press('r');
  await expectOrder(admin.getByRole('dialog', { name: 'Reject this release' }), 'Cancel', 'Reject with this reason');
});
