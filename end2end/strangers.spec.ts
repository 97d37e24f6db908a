import { Account } from './pages/account';
import { Home } from './pages/home';
import { someDetails } from './pages/wizard';
import { expectAccessible } from './support/accessible';
import { newArtist, unique } from './support/people';
import { expect, test } from './support/test';

test('a second artist sees nothing of a release', async ({ page, newPage, watch }) => {
  const title = `Mine Alone ${unique()}`;
  await new Account(page).signUp(newArtist());
  const wizard = await new Home(page).newRelease();
  await wizard.make(someDetails(title));
  await page.goto(`/releases/${wizard.id}`);
  const cover = await page.getByRole('img', { name: `Cover of ${title}` }).getAttribute('src');
  const object = cover?.split('/')[3] ?? '';
  const media = [cover ?? '', `/media/original/${object}`];
  for (const address of media) expect((await page.request.get(address)).status(), address).toBe(200);

  const stranger = await newPage();
  await new Account(stranger).signUp(newArtist('Somebody Else'));
  await expect(stranger.getByRole('heading', { name: 'Your first release' })).toBeVisible();
  await expect(stranger.getByText(title)).toHaveCount(0);

  watch.expect(/status of 404/);
  for (const address of [`/releases/${wizard.id}`, `/releases/${wizard.id}/details`, `/releases/${wizard.id}/tracks`, '/nowhere']) {
    const answer = await stranger.goto(address);
    expect(answer?.status(), address).toBe(404);
    await expect(stranger.getByRole('heading', { name: 'Page not found' })).toBeVisible();
    await expect(stranger.getByText(title)).toHaveCount(0);
  }
  await expectAccessible(stranger);
  for (const address of media) expect((await stranger.request.get(address)).status(), address).toBe(404);

  watch.expect(/status of 403/);
  for (const address of ['/review', `/review/${wizard.id}`, '/admin/releases', '/admin/artists', '/admin/operations', '/admin/queue', '/admin/jobs', '/admin/audit']) {
    const answer = await stranger.goto(address);
    expect(answer?.status(), address).toBe(403);
    await expect(stranger.getByRole('heading', { name: "This account can't open this page" })).toBeVisible();
  }
  await expectAccessible(stranger);
});

test('somebody who is signed out gets to the sign-in page and back', async ({ page, newPage, watch }) => {
  const artist = newArtist();
  await new Account(page).signUp(artist);
  const wizard = await new Home(page).newRelease();

  const elsewhere = await newPage();
  await elsewhere.goto(`/releases/${wizard.id}/cover`);
  await expect(elsewhere).toHaveURL(/\/sign-in\?next=/);
  await expectAccessible(elsewhere);
  await elsewhere.getByLabel('E-mail').fill(artist.email);
  await elsewhere.getByLabel('Password').fill(artist.password);
  await elsewhere.getByRole('main').getByRole('button', { name: 'Sign in' }).click();
  await expect(elsewhere).toHaveURL(`/releases/${wizard.id}/cover`);

  // The event stream may still be opening when the session ends.
  watch.expect(/status of 401.*\/api\/events/);
  await elsewhere.getByRole('button', { name: 'Sign out' }).click();
  await expect(elsewhere.getByRole('link', { name: 'Sign up as an artist' })).toBeVisible();
});
