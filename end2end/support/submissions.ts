import { readFileSync } from 'node:fs';
import { expect, type APIRequestContext } from '@playwright/test';

import { fixture } from './files';
import type { Artist } from './people';

/**
 * Signs up and submits small releases with these titles over HTTP, as a script would. This is faster than through the
 * pages.
 */
export async function submitReleases(http: APIRequestContext, { name, email, password }: Artist, titles: string[]) {
  await call(http, 'account/sign-up', { artist_name: name, email, password });
  const [cover, song] = ['cover-small.png', 'song.flac'].map((file) => readFileSync(fixture(file)));
  for (const title of titles) {
    const id: string = await call(http, 'releases/create', {});
    const details = {
      title,
      title_version: '',
      genre: 'Electronic',
      language: 'eng',
      release_date: '2027-01-22',
      label: name,
      gtin: '',
      p_line: `2026 ${name}`,
      c_line: `2026 ${name}`,
    };
    const fields = Object.entries(details).map(([field, value]) => [`details[${field}]`, value]);
    await call(http, 'releases/save-details', { id, ...Object.fromEntries(fields) });
    await upload(http, { Cover: id }, 'cover.png', cover);
    await upload(http, { NewTrack: id }, 'song.flac', song);
    await call(http, 'releases/submit', { id });
  }
}

/** Uploads a file and waits until it is stored. */
async function upload(http: APIRequestContext, target: object, fileName: string, bytes: Buffer) {
  const intent = { target, file_name: fileName, length: bytes.length, fingerprint: '', sha256: null };
  const begun = await http.post('/api/upload/begin', { data: { intent } });
  expect(begun.status(), await begun.text()).toBe(200);
  const { id, url } = await begun.json();
  const headers = { 'Tus-Resumable': '1.0.0', 'Upload-Offset': '0', 'Content-Type': 'application/offset+octet-stream' };
  const sent = await http.patch(url, { headers, data: bytes });
  expect(sent.status(), await sent.text()).toBe(204);
  // The server answers when the file is stored, or after a few seconds.
  await expect.poll(async () => (await call(http, 'upload/complete', { id })).state).toBe('attached');
}

/** Calls a server function with a form's fields. */
export async function call(http: APIRequestContext, path: string, form: Record<string, string>) {
  const answer = await http.post(`/api/${path}`, { form });
  expect(answer.status(), `${path}: ${await answer.text()}`).toBe(200);
  return answer.json();
}
