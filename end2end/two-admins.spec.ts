import { Account } from './pages/account';
import { Home } from './pages/home';
import { ReleasePage } from './pages/release';
import { Review } from './pages/review';
import { someDetails } from './pages/wizard';
import { expectAccessible } from './support/accessible';
import { ADMINS, newArtist, unique } from './support/people';
import { expect, test } from './support/test';

test('the first of two verdicts counts, and the second admin reads that it is decided', async ({ page, newAdmin, watch }) => {
  const title = `Contested ${unique()}`;
  await new Account(page).signUp(newArtist());
  const wizard = await new Home(page).newRelease();
  await wizard.make(someDetails(title));
  await wizard.submit();
  const release = new ReleasePage(page, wizard.id);
  await release.expectStatus('Waiting for review');

  const first = await newAdmin();
  const second = await newAdmin({}, ADMINS[1]);
  await new Review(first).find(title);
  await new Review(second).find(title);

  // The second admin's page doesn't learn of the first verdict in time.
  watch.expect(/net::ERR_FAILED.*\/api\/releases\/view/);
  await second.route('**/api/releases/view', (route) => route.abort());
  await new Review(first).approve();
  await release.expectStatus('Published');

  watch.expect(/status of 409.*\/api\/review\/reject/);
  await second.keyboard.press('r');
  const reasons = second.getByRole('dialog', { name: 'Reject this release' });
  await reasons.getByLabel('What the artist has to change').fill('Too late.');
  await reasons.getByRole('button', { name: 'Reject with this reason' }).click();
  await expect(new Review(second).verdict().getByRole('alert')).toContainText(/approved|published/i);
  await expectAccessible(second);

  await second.unroute('**/api/releases/view');
  await second.getByRole('link', { name: 'Reload the release' }).click();
  await expect(new Review(second).verdict()).toBeHidden();
  await release.expectStatus('Published');
});
