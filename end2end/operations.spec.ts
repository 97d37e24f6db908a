/** The overview of operations: it stays current, its charts have words, and the integrity check has a button. */

import { Account } from './pages/account';
import { Home } from './pages/home';
import { Operations } from './pages/operations';
import { someDetails } from './pages/wizard';
import { expectAccessible } from './support/accessible';
import { newArtist, unique } from './support/people';
import { expect, test } from './support/test';

test('an admin sees uploads arrive, reads a chart in words, and starts the integrity check', async ({ page, newAdmin, watch }) => {
  const admin = await newAdmin();
  const operations = new Operations(admin);
  await operations.open();
  await expect(admin.getByRole('main').getByRole('status').filter({ hasText: 'Database, storage and worker are well.' })).toBeVisible();
  await expectAccessible(admin);

  await test.step('uploads count by themselves, and what is open stays open', async () => {
    const before = await operations.stored();
    const values = admin.getByText('Values of Uploads');
    await values.click();
    const table = admin.getByRole('table', { name: 'Uploads, the latest first' });
    await expect(table.getByRole('row')).toHaveCount(61);
    await new Account(page).signUp(newArtist());
    const wizard = await new Home(page).newRelease();
    await wizard.make(someDetails(`Counted ${unique()}`));
    await expect.poll(() => operations.stored()).toBeGreaterThan(before);
    await expect(table).toBeVisible();
    await expect(operations.chart('Uploads')).toHaveAccessibleName(/\d+ stored, \d+ refused, \d+ failed\./);
  });

  await test.step('another range is a link', async () => {
    const ranges = admin.getByRole('navigation', { name: 'Time in the charts' });
    await ranges.getByRole('link', { name: 'Week' }).click();
    await expect(admin).toHaveURL(/range=week/);
    await expect(ranges.getByRole('link', { name: 'Week' })).toHaveAttribute('aria-current', 'true');
    await expect(admin.getByRole('table', { name: 'Uploads, the latest first' }).getByRole('row')).toHaveCount(8);
    await expectAccessible(admin);
  });

  await test.step('the integrity check starts, and its result appears', async () => {
    const section = admin.getByRole('region', { name: 'Integrity check' });
    await expect(section).toContainText('No damage was found.');
    const ended = () => section.getByText('The last check read').locator('time').getAttribute('datetime');
    const before = await ended();
    await section.getByRole('button', { name: 'Check now' }).click();
    await expect(section.getByRole('heading')).toBeFocused();
    await expect(admin.getByText('The integrity check starts within a few seconds.')).toBeVisible();
    await expect.poll(ended).not.toBe(before);
    await expect(section).toContainText('No damage was found.');
  });

  await test.step('figures that could not be fetched are called old', async () => {
    watch.expect(/status of 503/);
    await admin.route('**/api/operations/view', (route) =>
      route.fulfill({ status: 503, json: { statusCode: 503, error: 'Service Unavailable', message: 'The database is not answering.' } }),
    );
    await expect(admin.getByText('No answer')).toBeVisible();
    await expect(admin.getByText('Database, storage and worker are well.')).toBeHidden();
    await admin.unroute('**/api/operations/view');
    await expect(admin.getByText('Database, storage and worker are well.')).toBeVisible();
  });

  await admin.getByRole('link', { name: /dead letters?, / }).click();
  await expect(admin.getByRole('heading', { name: 'Dead letters', exact: true })).toBeVisible();
});
