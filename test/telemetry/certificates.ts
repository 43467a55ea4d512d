import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

/** An authority, a certificate for 127.0.0.1 and one for a device, made by openssl in a folder. */
export function makeCertificates(folder: string, device: string) {
  const openssl = (...args: string[]) => execFileSync('openssl', args, { cwd: folder, stdio: 'pipe' });
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  openssl(
    'req',
    '-x509',
    ...key,
    '-keyout',
    'ca.key',
    '-out',
    'ca.pem',
    '-days',
    '2',
    '-subj',
    '/CN=test authority',
  );
  for (const [name, subject, extra] of [
    ['broker', '127.0.0.1', 'subjectAltName=IP:127.0.0.1'],
    ['device', device, 'extendedKeyUsage=clientAuth'],
  ] as const) {
    openssl(
      'req',
      ...key,
      '-keyout',
      `${name}.key`,
      '-out',
      `${name}.csr`,
      '-subj',
      `/CN=${subject}`,
      '-addext',
      extra,
    );
    openssl(
      ...['x509', '-req', '-in', `${name}.csr`, '-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial'],
      ...['-days', '2', '-copy_extensions', 'copy', '-out', `${name}.pem`],
    );
  }
  const path = (name: string) => join(folder, name);
  return { path, read: (name: string) => readFileSync(path(name), 'utf8') };
}
