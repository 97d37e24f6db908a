import { Account } from './pages/account';
import { Home } from './pages/home';
import { Wizard } from './pages/wizard';
import { expectAccessible } from './support/accessible';
import { alive } from './support/alive';
import { fixture } from './support/files';
import { hold } from './support/network';
import { newArtist } from './support/people';
import { expect, test } from './support/test';

test.beforeEach(async ({ page }) => {
  await new Account(page).signUp(newArtist());
});

test('a file that was chosen before the page was hydrated is uploaded', async ({ page }) => {
  const wizard = await new Home(page).newRelease();
  const go = await hold(page, '**/pkg/vwaza*.wasm');
  await page.goto(`/releases/${wizard.id}/cover`);
  await page.locator('#cover').setInputFiles(fixture('cover-small.png'));
  await expect(page.locator('html')).not.toHaveAttribute('data-alive');
  go();
  await expect(wizard.coverStep()).toContainText('1000 × 1000 px');
});

test('a title that was typed before the page was hydrated is saved', async ({ page }) => {
  const wizard = await new Home(page).newRelease();
  const go = await hold(page, '**/pkg/vwaza*.wasm');
  await page.goto(`/releases/${wizard.id}/details`);
  await page.getByLabel('Title', { exact: true }).fill('Early Words');
  await expect(page.locator('html')).not.toHaveAttribute('data-alive');
  go();
  await wizard.expectSaved();
  await expect(page.getByRole('heading', { name: 'Early Words', level: 1 })).toBeVisible();
});

test('a page whose script cannot be fetched says so, and loads on the second try', async ({ page, watch }) => {
  watch.expect(/net::ERR_FAILED|Failed to fetch/);
  const { id } = await new Home(page).newRelease();
  await page.goto('/');
  await alive(page);
  await page.route('**/pkg/split_wizard*.wasm', (route) => route.abort());
  await page.getByRole('link', { name: 'Untitled' }).first().click();
  await expect(page.getByRole('heading', { name: 'This page did not load' })).toBeVisible();
  await expectAccessible(page);
  await page.unroute('**/pkg/split_wizard*.wasm');
  await page.getByRole('link', { name: 'Load it again' }).click();
  await expect(page).toHaveURL(new RegExp(`/releases/${id}/details$`));
  await expect(new Wizard(page, id).checklist()).toBeVisible();
});
