import { expect, test } from 'vitest'
import { mountCifs, netUse, sh, smbclient, smbURL, toCommand, toYAML, unc } from './connect'

const usual = { host: 'files.example.net', port: 445, share: 'media', user: 'alice' }
const odd = { host: '127.0.0.1', port: 1445, share: 'my files', user: "o'neil" }
const six = { host: '2001:db8::7', port: 445, share: 'x', user: 'a' }

test('each system gets the form it understands', () => {
  expect(unc(usual)).toBe('\\\\files.example.net\\media')
  expect(netUse(usual)).toBe('net use * \\\\files.example.net\\media /user:alice')
  expect(smbURL(usual)).toBe('smb://files.example.net/media')
  expect(smbclient(usual)).toBe('smbclient //files.example.net/media -U alice')
})

test('another port, spaces and quotes survive a shell', () => {
  expect(smbURL(odd)).toBe('smb://127.0.0.1:1445/my%20files')
  expect(netUse(odd)).toBe('net use * "\\\\127.0.0.1\\my files" /user:o\'neil /tcpport:1445')
  expect(smbclient(odd)).toBe(`smbclient '//127.0.0.1/my files' -p 1445 -U 'o'\\''neil'`)
  expect(mountCifs(odd)).toContain(',port=1445')
  expect(sh('$(reboot)')).toBe("'$(reboot)'")
})

test('IPv6 is bracketed in URLs and literal in UNC names', () => {
  expect(smbURL(six)).toBe('smb://[2001:db8::7]/x')
  expect(unc(six)).toBe('\\\\2001-db8--7.ipv6-literal.net\\x')
})

test('YAML quotes what would mean something else', () => {
  const y = toYAML({ name: 'no', comment: 'a: b # c', validUsers: ['@staff', '123'], readOnly: true, path: '/srv/smb/x' }, 'pve1')
  expect(y.split('\n')).toEqual([
    'apiVersion: smbgw/v2',
    'kind: Share',
    'name: "no"',
    'comment: "a: b # c"',
    'validUsers:',
    '  - "@staff"',
    '  - "123"',
    'readOnly: true',
    'path: /srv/smb/x',
    'node: pve1',
    '',
  ])
})

test('the command says what differs from the defaults', () => {
  expect(toCommand({ name: 'media', validUsers: ['alice', '@staff'], readOnly: true, browseable: true, comment: "it's" }, '')).toBe(
    `smbgw share create media --comment 'it'\\''s' --read-only --valid-users alice,@staff --wait`,
  )
})
