import type { Share, ShareSpec } from '../../api/types'

export interface Target {
  host: string
  port: number
  share: string
  /** A user who may use the share, for examples. */
  user: string
}

const bracketed = (host: string) => (host.includes(':') && !host.startsWith('[') ? `[${host}]` : host)
// Windows has no colons in UNC names: an IPv6 address is written for ipv6-literal.net, which Windows resolves by itself.
const uncHost = (host: string) =>
  host.includes(':') ? host.replace(/^\[|\]$/g, '').replaceAll(':', '-').replace('%', 's') + '.ipv6-literal.net' : host

/** Quotes a word for a POSIX shell where it needs it. */
export const sh = (word: string): string => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`)

export const smbURL = (t: Target): string =>
  `smb://${bracketed(t.host)}${t.port === 445 ? '' : `:${t.port}`}/${encodeURIComponent(t.share)}`
export const unc = (t: Target): string => `\\\\${uncHost(t.host)}\\${t.share}`
const cmdQuote = (s: string) => (/\s/.test(s) ? `"${s}"` : s)
// Only Windows 11 24H2 and Server 2025 on can use another port than 445.
export const netUse = (t: Target): string =>
  `net use * ${cmdQuote(unc(t))} /user:${cmdQuote(t.user)}${t.port === 445 ? '' : ` /tcpport:${t.port}`}`
export const smbclient = (t: Target): string =>
  `smbclient ${sh(`//${t.host}/${t.share}`)}${t.port === 445 ? '' : ` -p ${t.port}`} -U ${sh(t.user)}`
export const mountCifs = (t: Target): string =>
  `sudo mount -t cifs ${sh(`//${t.host}/${t.share}`)} /mnt -o username=${sh(t.user)},vers=3.1.1${t.port === 445 ? '' : `,port=${t.port}`}`

/** The first user of a share that is no group, for the examples. */
export const exampleUser = (s: Share, fallback: string): string => s.validUsers?.find((u) => !/^[@+&]/.test(u)) ?? fallback

const plain = /^[A-Za-z_/][\w ./-]*$/
const reserved = /^(true|false|null|yes|no|on|off|y|n|~)$/i
const scalar = (v: string | boolean): string =>
  typeof v === 'boolean' ? String(v) : plain.test(v) && !reserved.test(v) && v.trim() === v ? v : JSON.stringify(v)

/** The spec of a share as YAML, for `smbgw apply -f`. */
export function toYAML(spec: ShareSpec, nodeName: string): string {
  const lines = ['apiVersion: smbgw/v2', 'kind: Share']
  for (const [key, raw] of Object.entries({ ...spec, node: nodeName || undefined })) {
    const v: unknown = raw
    if (v === undefined || v === null || v === '') continue
    if (Array.isArray(v)) {
      if (v.length > 0) lines.push(`${key}:`, ...v.map((x) => `  - ${scalar(String(x))}`))
    } else if (typeof v === 'object') {
      lines.push(`${key}:`)
      for (const [k, x] of Object.entries(v)) lines.push(`  ${scalar(k)}: ${scalar(String(x))}`)
    } else lines.push(`${key}: ${scalar(v as string | boolean)}`)
  }
  return lines.join('\n') + '\n'
}

/** The command that makes the same share. */
export function toCommand(spec: ShareSpec, nodeName: string): string {
  const args = ['smbgw share create', sh(spec.name)]
  if (nodeName) args.push(`--node ${sh(nodeName)}`)
  if (spec.path) args.push(`--path ${sh(spec.path)}`)
  if (spec.comment) args.push(`--comment ${sh(spec.comment)}`)
  if (spec.readOnly) args.push('--read-only')
  if (spec.browseable === false) args.push('--browseable=false')
  if (spec.validUsers?.length) args.push(`--valid-users ${sh(spec.validUsers.join(','))}`)
  if (spec.readList?.length) args.push(`--read-list ${sh(spec.readList.join(','))}`)
  if (spec.writeList?.length) args.push(`--write-list ${sh(spec.writeList.join(','))}`)
  for (const [k, v] of Object.entries(spec.parameters ?? {})) args.push(`--parameter ${sh(`${k}=${v}`)}`)
  args.push('--wait')
  return args.join(' ')
}
