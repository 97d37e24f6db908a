import { Account } from './pages/account';
import { Home } from './pages/home';
import { ReleasePage } from './pages/release';
import { Review } from './pages/review';
import { someDetails } from './pages/wizard';
import { expectAccessible } from './support/accessible';
import { newArtist, unique } from './support/people';
import { expect, test } from './support/test';

const QUICK_REASON = 'The cover is blurred or too small: stores want 3000 × 3000 pixels.';

test('a rejected release is revised, submitted again and approved', async ({ page, newAdmin }) => {
  const title = `Second Try ${unique()}`;
  await new Account(page).signUp(newArtist());
  const wizard = await new Home(page).newRelease();
  await wizard.make(someDetails(title));
  await wizard.submit();
  const release = new ReleasePage(page, wizard.id);
  await release.expectStatus('Waiting for review');

  const admin = await newAdmin();
  const review = new Review(admin);

  await test.step('the admin rejects it with a reason', async () => {
    await review.find(title);
    await admin.keyboard.press('r');
    const reasons = admin.getByRole('dialog', { name: 'Reject this release' });
    await expect(reasons.getByLabel('What the artist has to change')).toBeFocused();
    for (const nothing of ['', '  ']) {
      await reasons.getByLabel('What the artist has to change').fill(nothing);
      await reasons.getByRole('button', { name: 'Reject with this reason' }).click();
      await expect(reasons.getByText('Tell the artist what to change.')).toBeVisible();
      await expect(reasons.getByLabel('What the artist has to change')).toBeFocused();
    }
    await reasons.getByRole('checkbox', { name: QUICK_REASON }).check();
    await expectAccessible(admin);
    const text = reasons.getByLabel('What the artist has to change');
    await expect(text).toHaveValue(QUICK_REASON);
    await text.press('Control+End');
    await text.pressSequentially(' The rest is lovely.');
    await reasons.getByRole('button', { name: 'Reject with this reason' }).click();
    await expect(admin.getByText('Rejected. The artist gets your reason.')).toBeVisible();
  });

  await test.step('the artist reads why, word for word', async () => {
    await release.expectStatus('Rejected');
    await expect(release.reason()).toHaveText(`${QUICK_REASON} The rest is lovely.`);
    await expect(release.timeline()).toContainText('Rejected by');
    await expectAccessible(page);
    await new Home(page).open();
    await expect(page.getByText('Read why and revise')).toBeVisible();
    await expectAccessible(page);
    await release.open();
  });

  await test.step('the artist fixes it and submits again', async () => {
    await page.getByRole('button', { name: 'Revise' }).click();
    await expect(page).toHaveURL(/\/details$/);
    await wizard.go('Cover');
    await wizard.chooseCover('cover.jpg');
    await expect(wizard.coverStep()).toContainText(/(PNG|JPEG) · 3000\s×\s3000\spx/);
    await wizard.go('Review and submit');
    await wizard.submit();
    await release.expectStatus('Waiting for review');
    await expect(release.reason()).toBeHidden();
  });

  await test.step('now it is approved', async () => {
    await review.find(title);
    await expect(admin.getByText(`${QUICK_REASON} The rest is lovely.`)).toBeVisible();
    await review.verdict().getByRole('button', { name: 'Approve' }).click();
    await expect(admin.getByText('Approved and published.').first()).toBeVisible();
    await release.expectStatus('Published');
    await expect(release.timeline()).toContainText('Revision started');
  });
});

test('a release that waits can be withdrawn and changed', async ({ page }) => {
  await new Account(page).signUp(newArtist());
  const wizard = await new Home(page).newRelease();
  await wizard.make(someDetails(`Not Yet ${unique()}`));
  await wizard.submit();
  const release = new ReleasePage(page, wizard.id);
  await release.expectStatus('Waiting for review');
  await page.getByRole('button', { name: 'Withdraw to change it' }).click();
  await release.expectStatus('Draft');
  const title = `Now It Is ${unique()}`;
  await wizard.open('details');
  await page.getByLabel('Title', { exact: true }).fill(title);
  await page.getByLabel('Title', { exact: true }).blur();
  await wizard.expectSaved();
  await release.open();
  await page.getByRole('link', { name: 'Review and submit' }).click();
  await wizard.submit();
  await release.expectStatus('Waiting for review');
  await expect(page.getByRole('heading', { name: title, level: 1 })).toBeVisible();
});
