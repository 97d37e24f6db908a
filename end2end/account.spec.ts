import type { Page } from '@playwright/test';

import { Account } from './pages/account';
import { Home } from './pages/home';
import { expectAccessible } from './support/accessible';
import { alive } from './support/alive';
import { mailTo } from './support/mail';
import { newArtist } from './support/people';
import { expect, test } from './support/test';
import { totp } from './support/totp';

const NEW_PASSWORD = 'four other words, and a dot.';

async function signOut(page: Page) {
  await page.getByRole('banner').getByRole('button', { name: 'Sign out' }).click();
  await expect(page.getByRole('link', { name: 'Sign in' }).first()).toBeVisible();
}

for (const javaScriptEnabled of [true, false]) {
  test(`a forgotten password is reset, ${javaScriptEnabled ? 'live' : 'by plain forms'}`, async ({ newPage, watch }) => {
    // The server refuses a common password, and a link that was used already.
    watch.expect(/status of 4(00|10)/);
    const artist = newArtist();
    const page = await newPage({ javaScriptEnabled });
    await new Account(page).signUp(artist);
    await signOut(page);
    await page.goto('/sign-in');
    await alive(page);
    await page.getByRole('link', { name: 'Forgot your password?' }).click();
    await expect(page.getByRole('heading', { name: 'Forgot your password?' })).toBeVisible();
    await alive(page);
    if (javaScriptEnabled) await expectAccessible(page);
    await page.getByLabel('E-mail').fill(artist.email);
    await page.getByRole('button', { name: 'Send the link' }).click();
    const sent = page.getByText('If this address has an account, a mail is on its way.');
    await expect(sent).toBeVisible();
    if (javaScriptEnabled) await expect(page.locator('#sent')).toBeFocused();

    const { link } = await mailTo(artist.email, 'Set a new password');
    await page.goto(link);
    await alive(page);
    const pasted = page.getByLabel('Link from the mail');
    if (javaScriptEnabled) {
      await expect(pasted).toBeHidden();
      expect(page.url(), 'the code stays in no history').not.toContain('#');
      await expectAccessible(page);
      await page.getByLabel('New password').fill('Password1234');
      await page.getByRole('button', { name: 'Set the new password' }).click();
      await expect(page.getByText('Many people use this password')).toBeVisible();
    } else {
      await pasted.fill(link);
    }
    await page.getByLabel('New password').fill(NEW_PASSWORD);
    await page.getByRole('button', { name: 'Set the new password' }).click();
    await expect(page.getByText('Your new password is set.')).toBeVisible();
    await new Account(page).signIn({ email: artist.email, password: NEW_PASSWORD });

    await page.goto(link);
    await alive(page);
    if (!javaScriptEnabled) await pasted.fill(link);
    await page.getByLabel('New password').fill(artist.password);
    await page.getByRole('button', { name: 'Set the new password' }).click();
    await expect(page.getByText('This link was used already')).toBeVisible();
    if (javaScriptEnabled) await expect(page.getByRole('link', { name: 'Ask for a new link' })).toBeVisible();
  });
}

test('an artist turns two-factor sign-in on, signs in with codes, and turns it off', async ({ page, newPage, watch }) => {
  watch.expect(/status of 400/);
  const artist = newArtist();
  await new Account(page).signUp(artist);
  await page.goto('/account');
  await alive(page);
  const region = page.getByRole('region', { name: 'Two-factor sign-in' });
  await region.getByLabel('Current password').fill('not this one');
  await region.getByRole('button', { name: 'Set it up' }).click();
  await expect(region.getByText('This is not your current password.')).toBeVisible();
  await region.getByLabel('Current password').fill(artist.password);
  await region.getByRole('button', { name: 'Set it up' }).click();
  await expect(region.getByRole('img', { name: 'QR code with your key' })).toBeVisible();
  await expectAccessible(page);
  const key = await region.getByLabel('Key', { exact: true }).inputValue();
  await region.getByRole('textbox', { name: 'Code' }).fill(totp(key));
  await region.getByRole('button', { name: 'Turn on two-factor sign-in' }).click();
  await expect(region.getByText('Your recovery codes')).toBeVisible();
  const codes = await region.locator('.recovery-codes li').allTextContents();
  expect(codes).toHaveLength(10);
  await expect(region.getByText('Recovery codes left: 10.')).toBeVisible();
  await expectAccessible(page);

  const elsewhere = await newPage();
  // The code of the current step is used already. The server accepts the code of the next step, too.
  for (const code of [() => totp(key, 1), () => codes[0]]) {
    await elsewhere.goto('/sign-in?next=/account');
    await alive(elsewhere);
    await elsewhere.getByLabel('E-mail').fill(artist.email);
    await elsewhere.getByLabel('Password').fill(artist.password);
    await elsewhere.getByRole('main').getByRole('button', { name: 'Sign in' }).click();
    await expect(elsewhere.getByRole('heading', { name: 'Enter your code' })).toBeVisible();
    await alive(elsewhere);
    await expectAccessible(elsewhere);
    await elsewhere.getByLabel('Code').fill(code());
    await elsewhere.getByRole('main').getByRole('button', { name: 'Sign in' }).click();
    await expect(elsewhere.getByRole('heading', { name: 'Account', level: 1 })).toBeVisible();
    await expect(elsewhere).toHaveURL(/\/account$/);
    await alive(elsewhere);
    await signOut(elsewhere);
  }

  await page.reload();
  await alive(page);
  await expect(region.getByText('Recovery codes left: 9.')).toBeVisible();
  await region.locator('summary', { hasText: 'Turn off two-factor sign-in' }).click();
  await region.getByLabel('Current password').last().fill(artist.password);
  await region.getByRole('textbox', { name: 'Code' }).last().fill(codes[1]);
  await region.getByRole('button', { name: 'Turn it off' }).click();
  await expect(region.getByText('Off: you sign in with your password only.')).toBeVisible();
});

test('the account page of an admin uses the words for admins', async ({ newAdmin }) => {
  const admin = await newAdmin();
  await admin.goto('/account');
  await alive(admin);
  await expect(admin.getByRole('region', { name: 'Profile' }).getByLabel('Name', { exact: true })).toBeVisible();
  await admin.getByRole('region', { name: 'Your data' }).locator('summary').click();
  for (const words of [/Artist name/, /your (own )?releases/i, /my releases/, /submit releases/, /script upload/]) {
    await expect(admin.getByRole('main').getByText(words), `${words}`).toHaveCount(0);
  }
  await expectAccessible(admin);
});

test('an admin disables an account and enables it again', async ({ page, newAdmin, watch }) => {
  watch.expect(/status of 40[01]/);
  const artist = newArtist();
  await new Account(page).signUp(artist);
  const admin = await newAdmin();
  await admin.goto(`/admin/artists?search=${artist.email}`);
  await alive(admin);
  await admin.getByRole('link', { name: `Account of ${artist.name}` }).click();
  await expect(admin.getByRole('heading', { name: artist.name, level: 1 })).toBeVisible();
  await alive(admin);
  await expectAccessible(admin);
  await admin.getByText('Disable the account').first().click();
  await admin.getByRole('button', { name: 'Disable the account' }).click();
  await expect(admin.getByText('Account disabled.')).toBeVisible();
  await expect(admin.getByRole('region', { name: 'Security log' }).getByRole('listitem').first()).toContainText('Account disabled');
  await page.goto('/account');
  await expect(page).toHaveURL(/\/sign-in/);
  await admin.getByRole('button', { name: 'Enable the account' }).click();
  await expect(admin.getByText('Account enabled.')).toBeVisible();
  await new Account(page).signIn(artist);
});

test('an artist reads what happens to their data, downloads it and deletes the account', async ({ page, watch }) => {
  watch.expect(/status of 40[01]/);
  const artist = newArtist();
  await new Account(page).signUp(artist);
  const wizard = await new Home(page).newRelease();
  await page.goto('/account');
  await alive(page);
  await expect(page.getByRole('region', { name: 'Security log' }).getByRole('listitem').first()).toContainText('Signed in');
  const region = page.getByRole('region', { name: 'Your data' });
  const downloading = page.waitForEvent('download');
  await region.getByRole('link', { name: 'Download your data' }).click();
  expect((await downloading).suggestedFilename()).toBe('vwaza-data.zip');
  await region.locator('summary').click();
  await expect(region.getByText('published releases with their files')).toBeVisible();
  await expectAccessible(page);
  await region.getByLabel('Current password').fill('not this one');
  await region.getByRole('button', { name: 'Delete the account permanently' }).click();
  await expect(region.getByText('This is not your current password.')).toBeVisible();
  await region.getByLabel('Current password').fill(artist.password);
  await region.getByRole('button', { name: 'Delete the account permanently' }).click();
  await expect(page.getByRole('link', { name: 'Sign up as an artist' })).toBeVisible();
  await page.goto(`/releases/${wizard.id}`);
  await expect(page).toHaveURL(/\/sign-in/);
});
