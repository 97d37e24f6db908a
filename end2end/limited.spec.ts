import { alive } from './support/alive';
import { expectAccessible } from './support/accessible';
import { test } from './support/own-server';
import { newArtist } from './support/people';
import { expect } from './support/test';

test('somebody who sends a form too often reads how long to wait', async ({ page, server, watch }) => {
  watch.expect(/status of 4(01|29)/);
  // With a trusted proxy, the server limits this machine, too.
  await server.restart({ VWAZA_TRUSTED_PROXIES: '127.0.0.0/8', VWAZA_LIMIT_API_PER_MINUTE: '8', VWAZA_LIMIT_SIGN_INS: '1000' });
  await page.goto('/sign-in');
  await alive(page);
  const timer = page.getByRole('timer');
  const { email } = newArtist();
  for (let tries = 0; tries <= 8 && !(await timer.isVisible()); tries++) {
    await page.getByLabel('E-mail').fill(email);
    await page.getByLabel('Password').fill('not the password');
    const answer = page.waitForResponse('**/api/account/sign-in');
    await page.getByRole('main').getByRole('button', { name: 'Sign in' }).click();
    await answer;
  }
  await expect(timer).toHaveText(/^You can try again in \d+ s\.$/);
  await expectAccessible(page);
  const seconds = async () => Number((await timer.textContent())?.match(/\d+/)?.[0] ?? 0);
  const first = await seconds();
  expect(first).toBeLessThanOrEqual(60);
  await expect.poll(seconds, 'it counts down').toBeLessThan(first);
});
