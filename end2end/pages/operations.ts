import { expect, type Page } from '@playwright/test';

import { alive } from '../support/alive';

/** The overview of operations. */
export class Operations {
  constructor(readonly page: Page) {}

  async open() {
    await this.page.getByRole('navigation', { name: 'Main' }).getByRole('link', { name: 'Operations' }).click();
    await expect(this.page.getByRole('heading', { name: 'Operations', level: 1 })).toBeVisible();
    await alive(this.page);
  }

  /** The number of stored uploads in the last hour, of all artists. */
  async stored(): Promise<number> {
    const table = this.page.getByRole('table', { name: 'Uploads that ended in the last hour, day and week' });
    const row = table.getByRole('row').filter({ has: this.page.getByRole('rowheader', { name: 'Stored' }) });
    return Number(await row.getByRole('cell').first().textContent());
  }

  /** A drawing, which is named by its title and the sentence below it. */
  chart(title: string) {
    return this.page.getByRole('img', { name: title });
  }
}
