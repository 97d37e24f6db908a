import { Account } from './pages/account';
import { expectAccessible } from './support/accessible';
import { alive } from './support/alive';
import { newArtist } from './support/people';
import { pressTwice } from './support/press';
import { expect, test } from './support/test';

test('an artist makes a token for a script, sees it once, and revokes it', async ({ page, watch }) => {
  watch.expect(/status of 40[04]/);
  await new Account(page).signUp(newArtist());
  await page.goto('/account');
  await alive(page);
  const tokens = page.getByRole('region', { name: 'Access tokens' });
  await tokens.getByRole('button', { name: 'Make a token' }).click();
  await expect(tokens.getByText('Say what the token is for.')).toBeVisible();
  await tokens.getByLabel('What is the token for?').fill('studio backup');
  await tokens.getByRole('button', { name: 'Make a token' }).click();
  const secret = await tokens.getByLabel('Your new token').inputValue();
  expect(secret).toMatch(/^vwaza_[0-9a-f]{64}$/);
  await expect(tokens.getByText('studio backup', { exact: true })).toBeVisible();
  await expect(tokens.getByText('Never used')).toBeVisible();
  await expectAccessible(page);
  await tokens.getByRole('button', { name: 'Make a token' }).click();
  await expect(tokens.getByText('Say what the token is for.')).toBeVisible();
  await expect(tokens.getByLabel('Your new token'), 'it is there to be copied, whatever comes to nothing').toHaveValue(secret);

  const options = { headers: { authorization: `Bearer ${secret}`, 'tus-resumable': '1.0.0' } };
  const nowhere = '/api/uploads/00000000-0000-0000-0000-000000000000/00000000-0000-0000-0000-000000000000';
  expect((await page.request.get(nowhere, options)).status()).toBe(404);
  await page.reload();
  await alive(page);
  await expect(tokens.getByText('studio backup', { exact: true })).toBeVisible();
  await expect(tokens.getByLabel('Your new token')).toHaveCount(0);
  const sent = await pressTwice(tokens.getByRole('button', { name: 'Revoke studio backup' }), '**/api/access-tokens/revoke');
  await expect(tokens.getByText('studio backup', { exact: true })).toHaveCount(0);
  expect(sent, 'pressed twice, it is sent once').toHaveLength(1);
  await expect(tokens.getByRole('alert')).toHaveCount(0);
  expect((await page.request.get(nowhere, options)).status()).toBe(401);
});

test('a new token is shown until it is revoked, even if the list of tokens fails to load', async ({ page, watch }) => {
  watch.expect(/status of 503/);
  await new Account(page).signUp(newArtist());
  await page.goto('/account');
  await alive(page);
  const tokens = page.getByRole('region', { name: 'Access tokens' });
  const list = '**/api/access-tokens/list';
  await page.route(list, (route) => route.fulfill({ status: 503 }));
  const make = async (name: string) => {
    await tokens.getByLabel('What is the token for?').fill(name);
    await tokens.getByRole('button', { name: 'Make a token' }).click();
  };
  await make('first');
  await expect(tokens.getByLabel('Your new token')).toHaveValue(/^vwaza_/);
  await page.unroute(list);
  await make('second');
  await tokens.getByRole('button', { name: 'Revoke first' }).click();
  await expect(tokens.getByText('first', { exact: true })).toHaveCount(0);
  await expect(tokens.getByLabel('Your new token')).toBeVisible();
  await tokens.getByRole('button', { name: 'Revoke second' }).click();
  await expect(tokens.getByLabel('Your new token')).toHaveCount(0);
});

test('without JavaScript no token can be made, because nobody would see it', async ({ newPage }) => {
  const page = await newPage({ javaScriptEnabled: false });
  await new Account(page).signUp(newArtist());
  await page.goto('/account');
  const tokens = page.getByRole('region', { name: 'Access tokens' });
  await expect(tokens.getByText('Turn on JavaScript to make a token.')).toBeVisible();
  await expect(tokens.getByLabel('What is the token for?')).toBeHidden();
});
