import { Account } from './pages/account';
import { Home } from './pages/home';
import { ReleasePage } from './pages/release';
import { Review } from './pages/review';
import { someDetails } from './pages/wizard';
import { expectAccessibleWithoutScripts } from './support/accessible';
import { fixture } from './support/files';
import { newArtist, unique } from './support/people';
import { expect, test } from './support/test';

test.use({ javaScriptEnabled: false });

test('a release gets from sign-up to published without JavaScript', async ({ page, newAdmin, watch }) => {
  // Axe checks each page twice.
  test.setTimeout(300_000);
  watch.expect(/status of 404.*\/nowhere/);
  watch.expect(/status of 403.*\/review/);
  const title = `Plain Forms ${unique()}`;
  for (const address of ['/', '/nowhere', '/sign-in', '/sign-up']) {
    await page.goto(address);
    await expectAccessibleWithoutScripts(page);
  }
  await page.getByRole('button', { name: 'Create the account' }).click();
  await expect(page.getByText('Enter the name that appears on your releases.')).toBeVisible();

  await test.step('a form with one wrong field keeps its other fields', async () => {
    await page.getByLabel('Artist name').fill('Ana & Lima');
    await page.getByLabel('E-mail').fill('ana@');
    await page.getByLabel('Password').fill('a secret of hers');
    await page.getByRole('button', { name: 'Create the account' }).click();
    await expect(page).toHaveURL(/\/sign-up$/);
    await expect(page.getByLabel('Artist name')).toHaveValue('Ana & Lima');
    await expect(page.getByLabel('E-mail')).toHaveValue('ana@');
    await expect(page.getByLabel('Password')).toHaveValue('');
    await expectAccessibleWithoutScripts(page);
    await page.reload();
    await expect(page.getByLabel('Artist name')).toHaveValue('');
  });
  await new Account(page).signUp(newArtist());
  await expectAccessibleWithoutScripts(page);
  const wizard = await new Home(page).newRelease();

  await test.step('a form that fails says so', async () => {
    const nothing = '00000000-0000-4000-8000-000000000000';
    await page.route('**/api/releases/save-details', (route) => {
      return route.continue({ postData: route.request().postData()?.replace(wizard.id, nothing) });
    });
    await page.getByRole('button', { name: 'Save and continue' }).click();
    await expect(page.getByRole('main').getByRole('alert')).toBeVisible();
    await expect(page.getByRole('heading', { name: 'Details', level: 2 })).toBeVisible();
    await page.unroute('**/api/releases/save-details');
  });

  await test.step('details, cover and tracks by plain forms', async () => {
    await wizard.fillDetails(someDetails(title));
    await expect(page.getByText('Changes are saved automatically')).toBeHidden();
    await expectAccessibleWithoutScripts(page);
    await page.getByRole('button', { name: 'Save and continue' }).click();
    await expect(page).toHaveURL(/\/cover$/);
    await wizard.open('details');
    await expect(page.getByLabel('Title', { exact: true })).toHaveValue(title);

    await wizard.open('cover');
    await wizard.chooseCover('cover-small.png');
    await page.getByRole('button', { name: 'Upload' }).first().click();
    await expect(wizard.coverPicture()).toBeVisible();
    await expectAccessibleWithoutScripts(page);

    await wizard.open('tracks');
    for (const [file, tracks] of [['song.flac', 1], ['song.wav', 2]] as const) {
      await page.locator('#tracks').setInputFiles(fixture(file));
      await page.locator('form').filter({ has: page.locator('#tracks') }).getByRole('button', { name: 'Upload' }).click();
      await expect(wizard.tracks()).toHaveCount(tracks);
    }
    await wizard.track('song').getByRole('textbox', { name: 'Title', exact: true }).fill('Slow Train');
    await wizard.track('song').getByRole('button', { name: 'Save' }).click();
    await expect(wizard.track('Slow Train')).toBeVisible();
    await wizard.track('Slow Train').getByRole('button', { name: 'Move “Slow Train” up' }).click();
    await wizard.expectTitles('Slow Train', 'Night Bus');
    await wizard.open('tracks');
    await expectAccessibleWithoutScripts(page);
  });

  await wizard.open('submit');
  await expectAccessibleWithoutScripts(page);
  await wizard.submit();
  const release = new ReleasePage(page, wizard.id);
  const reload = async () => {
    await release.open();
    return release.status().innerText();
  };
  await expect.poll(reload).toBe('Waiting for review');
  for (const address of [page.url(), '/', '/account', '/review']) {
    await page.goto(address);
    await expectAccessibleWithoutScripts(page);
  }

  await test.step('a success message appears once', async () => {
    await page.goto('/account');
    await page.getByRole('button', { name: 'Save the profile' }).click();
    await expect(page).toHaveURL(/\/account$/);
    await expect(page.getByText('Profile saved.')).toBeVisible();
    await expectAccessibleWithoutScripts(page);
    await page.reload();
    await expect(page.getByText('Profile saved.')).toBeHidden();
  });

  const admin = await newAdmin();
  const review = new Review(admin);

  await test.step('an admin rejects it', async () => {
    for (const address of ['/admin/releases', '/admin/artists', '/admin/operations', '/admin/queue', '/admin/jobs', '/admin/audit', '/review']) {
      await admin.goto(address);
      await expectAccessibleWithoutScripts(admin);
    }
    await review.find(title);
    await expectAccessibleWithoutScripts(admin);
    await admin.locator('summary').filter({ hasText: 'Reject' }).click();
    await admin.getByLabel('What the artist has to change').fill('The second title is misspelled.');
    await admin.getByRole('button', { name: 'Reject with this reason' }).click();
    await expect.poll(reload).toBe('Rejected');
    await expect(release.reason()).toHaveText('The second title is misspelled.');
  });

  await test.step('the artist submits again, and the admin approves', async () => {
    await page.getByRole('button', { name: 'Revise' }).click();
    await wizard.open('submit');
    await wizard.submit();
    await expect.poll(reload).toBe('Waiting for review');
    await review.find(title);
    await review.verdict().getByRole('button', { name: 'Approve' }).click();
    await expect.poll(reload).toBe('Published');
  });
});
