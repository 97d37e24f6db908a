import { Account } from './pages/account';
import { Home } from './pages/home';
import { Player } from './pages/player';
import { ReleasePage } from './pages/release';
import { Review } from './pages/review';
import { someDetails } from './pages/wizard';
import { expectAccessible } from './support/accessible';
import { alive } from './support/alive';
import { LONG_MASTER, named } from './support/files';
import { slowUploads, stopAfter } from './support/network';
import { EXAMINES_NOTHING, test, WHILE_RESTARTING } from './support/own-server';
import { newArtist, unique } from './support/people';
import { expect } from './support/test';

test('an artist brings a first release from sign-up to published', async ({ page, newAdmin, server, watch }) => {
  test.setTimeout(300_000);
  watch.expect(WHILE_RESTARTING);
  const title = `Late Lines ${unique()}`;
  const account = new Account(page);

  await page.goto('/');
  await alive(page);
  await expectAccessible(page);
  await account.openSignUp();
  await expectAccessible(page);
  await account.signUp(newArtist());

  const home = new Home(page);
  await expect(page.getByRole('heading', { name: 'Your first release' })).toBeVisible();
  await expectAccessible(page);
  const wizard = await home.newRelease();

  await test.step('details are saved as they are typed', async () => {
    await expect(wizard.checklist().getByRole('link', { name: 'Add a title' })).toBeVisible();
    await wizard.fillDetails(someDetails(title));
    await wizard.expectSaved();
    await page.reload();
    await alive(page);
    await expect(page.getByLabel('Title', { exact: true })).toHaveValue(title);
    await expect(page.getByLabel('Release date')).toHaveValue('2027-01-22');
    await expect(wizard.checklist().getByRole('link', { name: 'Add a title' })).toBeHidden();
    await expectAccessible(page);
  });

  await test.step('a cover is dropped, then another one is chosen', async () => {
    await wizard.go('Cover');
    await expect(wizard.coverStep()).toContainText('Square JPEG or PNG');
    await wizard.drop(named('first idea.png', 'cover-small.png', 'image/png'));
    await expect(wizard.coverPicture()).toBeVisible();
    await expect(wizard.coverStep()).toContainText('1000 × 1000 px');
    await expect(wizard.coverStep()).toContainText('stores want 3000 × 3000');
    await wizard.chooseCover('cover.png');
    await expect(wizard.coverStep()).toContainText(/(PNG|JPEG) · 3000\s×\s3000\spx/);
    const width = () => wizard.coverPicture().evaluate((picture: HTMLImageElement) => picture.naturalWidth);
    await expect.poll(width, 'the picture is no broken one').toBeGreaterThan(0);
    await expectAccessible(page);
  });

  // From here on, the server examines nothing until the test has seen the release in processing.
  await server.restart(EXAMINES_NOTHING);

  await test.step('three masters at once become three tracks', async () => {
    await wizard.go('Tracks');
    const connection = await slowUploads(page, 4_000_000);
    const chosen = wizard.chooseTracks(LONG_MASTER, 'song.flac', 'song.mp3');
    // Two chunks take long enough for the page to measure their speed.
    const [stopped] = await Promise.all([stopAfter(page, 2), chosen]);
    await expect(page.getByRole('progressbar', { name: `Upload of ${LONG_MASTER}` })).toBeVisible();
    await expect(wizard.tracks().filter({ hasText: /\d+ of \d+ MB · .+\/s/ })).not.toHaveCount(0);
    await connection.restore();
    await stopped.goOn();
    await wizard.expectTitles('morning shift', 'Night Bus', 'Early Ferry');
    await page.getByRole('button', { name: /^Move “Night Bus”, track/ }).focus();
    await page.keyboard.press('Alt+ArrowUp');
    await wizard.expectTitles('Night Bus', 'morning shift', 'Early Ferry');
    await expect(page.getByRole('button', { name: 'Move “Night Bus”, track 1 of 3' })).toBeFocused();
    // All files are stored, and none is examined.
    await expect(page.getByRole('progressbar')).toHaveCount(0, { timeout: 60_000 });
  });

  await test.step('the release is submitted, and its status changes on the open page', async () => {
    await wizard.go('Review and submit');
    await expect(wizard.checklist().getByRole('heading')).toHaveText('Everything is here');
    await page.evaluate(() => document.body.setAttribute('data-same-page', ''));
    await wizard.submit();
    const release = new ReleasePage(page, wizard.id);
    await release.expectStatus('Examining');
    await server.restart();
    await release.expectStatus('Waiting for review');
    await expect(page.locator('body[data-same-page]')).toBeVisible();
    await expectAccessible(page);
  });

  const admin = await newAdmin();
  const review = new Review(admin);
  const player = new Player(admin);

  await test.step('an admin finds it in the queue and hears it', async () => {
    await expectAccessible(admin);
    await review.find(title);
    // The long track doesn't end during the test, so the player doesn't go on to the next one.
    await admin.getByRole('button', { name: 'Play morning shift' }).click();
    await player.expectTrack('morning shift');
    await player.expectProgress();
    await expectAccessible(admin);

    const waveform = admin.getByRole('slider', { name: 'Position in morning shift' });
    const box = (await waveform.boundingBox()) ?? { width: 0, height: 0 };
    await waveform.click({ position: { x: box.width * 0.5, y: box.height / 2 } });
    expect(await player.seconds()).toBeGreaterThan(140);
    await player.expectProgress();

    await admin.keyboard.press('Space');
    await expect.poll(() => player.isPaused()).toBe(true);
    const before = await player.seconds();
    await admin.keyboard.press('ArrowRight');
    expect(await player.seconds()).toBeGreaterThan(before + 4);
    await admin.keyboard.press('Space');
    await expect.poll(() => player.isPaused()).toBe(false);
    await player.expectProgress();
    await admin.keyboard.press('j');
    await player.expectTrack('Early Ferry');
    await admin.keyboard.press('k');
    await player.expectTrack('morning shift');
    await player.expectProgress();
    await admin.keyboard.press('k');
    await player.expectTrack('Night Bus');
    await player.expectProgress();
    for (const found of ['FLAC', '44.1 kHz', 'LUFS', 'dBTP']) await expect(admin.getByRole('main')).toContainText(found);
  });

  await test.step('it is approved, and the artist sees it at once', async () => {
    await admin.keyboard.press('a');
    await expect(admin.getByRole('dialog')).toContainText('MP3 is compressed with loss');
    await expectAccessible(admin);
    await review.confirmWarnings();
    await expect(admin.getByText('Approved and published.').first()).toBeVisible();
    await new ReleasePage(page, wizard.id).expectStatus('Published');
    await expect(page.locator('body[data-same-page]')).toBeVisible();
    await home.open();
    await expect(home.release(title)).toBeVisible();
    await expectAccessible(page);
  });
});
