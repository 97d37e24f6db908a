import { Account } from './pages/account';
import { Home } from './pages/home';
import { Player } from './pages/player';
import { alive } from './support/alive';
import { newArtist } from './support/people';
import { expect, test } from './support/test';

test('a browser that cannot play a kind of file offers it for download', async ({ page }) => {
  await new Account(page).signUp(newArtist());
  const wizard = await new Home(page).newRelease();
  await page.addInitScript(() => {
    HTMLMediaElement.prototype.canPlayType = () => '';
  });
  await wizard.open('tracks');
  await wizard.chooseTracks('song.flac');
  await wizard.expectPlayable('Night Bus');
  await expect(page.getByRole('progressbar')).toHaveCount(0);
  await page.getByRole('button', { name: 'Play Night Bus' }).click();
  const bar = new Player(page).bar();
  await expect(bar).toContainText('This browser cannot play this file.');
  const file = await page.request.get((await bar.getByRole('link', { name: 'Open the file' }).getAttribute('href')) ?? '');
  expect(file.headers()['content-type']).toBe('audio/flac');
});

test('kinds of files that this browser does not support can still be played', async ({ page }) => {
  await new Account(page).signUp(newArtist());
  const wizard = await new Home(page).newRelease();
  await wizard.go('Tracks');
  const knows = (type: string) => page.evaluate((type) => document.createElement('audio').canPlayType(type), type);
  expect(await knows('audio/aiff'), 'otherwise this is no test').toBe('');

  await wizard.chooseTracks('song.aiff', 'song.m4a');
  await wizard.expectPlayable('song', 'Last Tram');
  await expect(page.getByRole('progressbar')).toHaveCount(0);
  await page.goto(`/releases/${wizard.id}`);
  await alive(page);
  await expect(page.getByRole('button', { name: 'Play Last Tram' })).toBeVisible();
  const player = new Player(page);
  await page.getByRole('button', { name: 'Play song' }).click();
  await player.expectTrack('song');
  await player.expectProgress();

  await page.keyboard.press('j');
  await player.expectTrack('Last Tram');
  await player.expectProgress();
  const waveform = page.getByRole('slider', { name: 'Position in Last Tram' });
  const box = (await waveform.boundingBox()) ?? { width: 0, height: 0 };
  // The position is far from the end, because after its end the last track returns to its start.
  await waveform.click({ position: { x: box.width * 0.25, y: box.height / 2 } });
  expect(await player.seconds()).toBeGreaterThan(1.5);
  await player.expectProgress();
});
