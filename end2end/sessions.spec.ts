import type { Page, Request } from '@playwright/test';

import { Account } from './pages/account';
import { expectAccessible } from './support/accessible';
import { alive } from './support/alive';
import { newArtist } from './support/people';
import { pressTwice } from './support/press';
import { expect, test } from './support/test';

const sessions = (page: Page) => page.getByRole('region', { name: 'Sessions' });

for (const javaScriptEnabled of [true, false]) {
  test(`an artist sees where they are signed in and signs out there, ${javaScriptEnabled ? 'live' : 'by plain forms'}`, async ({ newPage, watch }) => {
    // The console reports the sign-out of a session that is over already.
    watch.expect(/status of 404/);
    const artist = newArtist();
    const laptop = await newPage({ javaScriptEnabled });
    await new Account(laptop).signUp(artist);
    const devices = ['Firefox/145.0 (Linux)', 'Version/26.0 Safari/605 (iPhone; Mac OS X)', 'a script'];
    const [firefox, phone, other] = await Promise.all(devices.map((userAgent) => newPage({ userAgent })));
    for (const page of [firefox, phone, other]) await new Account(page).signIn(artist);

    await laptop.goto('/account');
    await alive(laptop);
    const rows = sessions(laptop).getByRole('listitem');
    await expect(rows).toHaveCount(4);
    await expect(rows.first()).toContainText('This browser');
    if (javaScriptEnabled) await expectAccessible(laptop);
    const signOut = (device: string) => sessions(laptop).getByRole('button', { name: `Sign out ${device}` });
    await expect(signOut('Firefox on Linux')).toHaveAccessibleDescription(/Signed in .*Last used /);
    let sent: Request[] = [];
    if (javaScriptEnabled) {
      sent = await pressTwice(signOut('Firefox on Linux'), '**/api/sessions/end');
    } else {
      await signOut('Firefox on Linux').click();
    }
    await expect(rows).toHaveCount(3);
    await expect(sessions(laptop).getByRole('alert')).toHaveCount(0);
    if (javaScriptEnabled) {
      expect(sent, 'pressed twice, it is sent once').toHaveLength(1);
      await expect(laptop.getByText('That browser is signed out.')).toBeVisible();
      await expect(sessions(laptop).getByRole('heading')).toBeFocused();
    }
    await expect(rows.filter({ hasText: 'Firefox' })).toHaveCount(0);
    await expect(rows.filter({ hasText: 'Safari on iPhone' })).toHaveCount(1);
    await firefox.goto('/account');
    await expect(firefox).toHaveURL(/\/sign-in/);

    await phone.goto('/account');
    await alive(phone);
    await phone.getByRole('banner').getByRole('button', { name: 'Sign out' }).click();
    await expect(phone).toHaveURL(/\/sign-in|\/$/);
    await signOut('Safari on iPhone').click();
    await expect(rows, 'who has gone by themselves is signed out as well').toHaveCount(2);
    await expect(sessions(laptop).getByRole('alert')).toHaveCount(0);

    await sessions(laptop).getByRole('button', { name: 'Sign out everywhere else' }).click();
    await expect(rows).toHaveCount(1);
    await expect(sessions(laptop).getByRole('button')).toHaveCount(0);
    for (const page of [phone, other]) {
      await page.goto('/account');
      await expect(page).toHaveURL(/\/sign-in/);
    }
    await laptop.reload();
    await expect(rows).toHaveCount(1);
  });
}
