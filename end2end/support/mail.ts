/** The mails that the server has written as files. */

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { simpleParser } from 'mailparser';

import { expect } from './test';

export type Mail = { subject: string; text: string; html: string; link: string };

async function mailsTo(address: string): Promise<Mail[]> {
  const folder = join(process.env.VWAZA_E2E_DATA ?? '', 'mail');
  const files = existsSync(folder) ? readdirSync(folder).filter((file) => file.endsWith('.eml')).sort() : [];
  const mails: Mail[] = [];
  for (const file of files) {
    const { to, subject = '', text = '', html } = await simpleParser(readFileSync(join(folder, file)));
    const addresses = [to ?? []].flat().flatMap((list) => list.value.map((entry) => entry.address));
    const link = /^https?:\S+#\S+$/m.exec(text)?.[0] ?? '';
    if (addresses.includes(address)) mails.push({ subject, text, html: html || '', link });
  }
  return mails;
}

/** Waits for a mail to this address with this subject. Returns the newest one. */
export async function mailTo(address: string, subject: string): Promise<Mail> {
  let found: Mail | undefined;
  await expect(async () => {
    found = (await mailsTo(address)).filter((mail) => mail.subject === subject).at(-1);
    expect(found, `a mail to ${address}: ${subject}`).toBeDefined();
  }).toPass();
  return found!;
}
