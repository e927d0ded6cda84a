import { useInfiniteQuery, useQuery } from '@tanstack/react-query'
import { useNavigate, useSearch } from '@tanstack/react-router'
import { ScrollText, Search, ShieldAlert, ShieldCheck } from 'lucide-react'
import { useCallback, useMemo, useState } from 'react'
import type { AuditEntry } from '../../api/types'
import { t } from '../../i18n'
import { Blank, ErrorNotice, LoadError } from '../../ui/Blank'
import { Button } from '../../ui/Button'
import { Dialog } from '../../ui/Dialog'
import { SearchField } from '../../ui/Field'
import { type Column, Grid } from '../../ui/Grid'
import { Segments } from '../../ui/Menu'
import { exact, Time } from '../../ui/Time'
import { usePageTitle } from '../../ui/title'
import { auditQuery, type AuditSearch, verifyQuery } from './api'
import { DiffTable } from './DiffTable'
import { actionWords } from './words'

export function AuditList() {
  usePageTitle(t.audit.title)
  const search = useSearch({ strict: false }) as AuditSearch
  const navigate = useNavigate()
  const patch = (change: AuditSearch) =>
    void navigate({ to: '/audit', search: (old: object) => ({ ...old, ...change }), replace: true })
  const audit = useInfiniteQuery(auditQuery(search))
  const [open, setOpen] = useState<AuditEntry | null>(null)
  const [verify, setVerify] = useState(false)
  const rows = useMemo(() => audit.data?.pages.flatMap((p) => p.items) ?? [], [audit.data])
  const total = audit.data?.pages[0]?.total ?? rows.length
  const { hasNextPage, isFetchingNextPage, fetchNextPage } = audit
  const more = useCallback(() => {
    if (hasNextPage && !isFetchingNextPage) void fetchNextPage()
  }, [hasNextPage, isFetchingNextPage, fetchNextPage])
  const columns = useMemo<Column<AuditEntry>[]>(
    () => [
      {
        id: 'action',
        header: t.audit.what,
        width: 'minmax(160px, 1.6fr)',
        render: (e) => (
          <div className="cell-main">
            <button type="button" className="as-link truncate" onClick={() => setOpen(e)}>
              {actionWords(e.action)} <span className="object">{e.name}</span>
            </button>
            <span className="under drop truncate only-narrow">{e.actor?.name || t.audit.system}</span>
          </div>
        ),
      },
      {
        id: 'actor',
        header: t.audit.who,
        width: 'minmax(100px, 1fr)',
        hide: 'narrow',
        render: (e) => <span className="truncate">{e.actor?.name || t.audit.system}</span>,
      },
      {
        id: 'from',
        header: t.audit.from,
        width: 'minmax(100px, 0.9fr)',
        hide: 'medium',
        render: (e) => <span className="mono small muted truncate">{e.remoteAddr || '—'}</span>,
      },
      {
        id: 'request',
        header: t.audit.request,
        width: 'minmax(110px, 0.9fr)',
        hide: 'medium',
        render: (e) => <div className="mono small muted truncate">{e.requestID || '—'}</div>,
      },
      {
        id: 'at',
        header: t.audit.when,
        width: '116px',
        narrowWidth: '84px',
        render: (e) => (
          <span className="muted">
            <Time at={e.at} />
          </span>
        ),
      },
    ],
    [],
  )
  const filtered = Boolean(search.q || search.kind)
  return (
    <div className="page list">
      <div className="page-head">
        <div className="titles">
          <h1>{t.audit.title}</h1>
        </div>
        <Button onPress={() => setVerify(true)}>
          <ShieldCheck aria-hidden /> {t.audit.verify}
        </Button>
      </div>
      <div className="toolbar">
        <SearchField label={t.audit.search} value={search.q ?? ''} onChange={(q) => patch({ q: q || undefined })} />
        <Segments
          label={t.audit.filterKind}
          value={search.kind ?? 'all'}
          onChange={(id) => patch({ kind: id === 'all' ? undefined : id })}
          options={[
            { id: 'all', label: t.share.all },
            { id: 'share', label: t.share.plural },
            { id: 'user', label: t.user.plural },
            { id: 'group', label: t.group.plural },
            { id: 'node', label: t.node.plural },
          ]}
        />
        {audit.data && <span className="total num">{t.audit.count(total)}</span>}
      </div>
      {audit.isError && !audit.data ? (
        <LoadError error={audit.error} retry={() => void audit.refetch()} />
      ) : (
        <Grid
          label={t.audit.title}
          columns={columns}
          rows={rows}
          total={total}
          rowKey={(e) => String(e.seq)}
          loading={audit.isPending}
          onEnd={more}
          blank={
            <Blank
              icon={filtered ? <Search aria-hidden /> : <ScrollText aria-hidden />}
              title={filtered ? t.audit.noneFound : t.audit.none}
            />
          }
        />
      )}
      {open && <EntryDialog entry={open} onClose={() => setOpen(null)} />}
      {verify && <VerifyDialog onClose={() => setVerify(false)} />}
    </div>
  )
}

function EntryDialog({ entry: e, onClose }: { entry: AuditEntry; onClose: () => void }) {
  return (
    <Dialog
      wide
      title={`${actionWords(e.action)} ${e.name ?? ''}`}
      onClose={onClose}
      footer={<Button onPress={onClose}>{t.common.close}</Button>}
    >
      <dl className="facts">
        <dt>{t.audit.when}</dt>
        <dd>{exact(e.at)}</dd>
        <dt>{t.audit.who}</dt>
        <dd>
          {e.actor?.name || t.audit.system} <span className="muted">{e.actor?.kind}</span>
        </dd>
        {e.remoteAddr && (
          <>
            <dt>{t.audit.from}</dt>
            <dd className="mono small">{e.remoteAddr}</dd>
          </>
        )}
        {e.requestID && (
          <>
            <dt>{t.audit.request}</dt>
            <dd className="mono small">{e.requestID}</dd>
          </>
        )}
        {e.hash && (
          <>
            <dt>{t.audit.hash}</dt>
            <dd className="mono small">{e.hash}</dd>
          </>
        )}
      </dl>
      <DiffTable before={e.before} after={e.after} />
    </Dialog>
  )
}

function VerifyDialog({ onClose }: { onClose: () => void }) {
  const v = useQuery({ ...verifyQuery, enabled: true, staleTime: 0, gcTime: 0 })
  return (
    <Dialog title={t.audit.verify} onClose={onClose} footer={<Button onPress={onClose}>{t.common.close}</Button>}>
      <div role="status">
        {v.isFetching ? (
          <p className="muted">{t.audit.verifying}</p>
        ) : v.data ? (
          <div className={v.data.ok ? 'notice' : 'notice bad'}>
            {v.data.ok ? <ShieldCheck className="good-text" aria-hidden /> : <ShieldAlert aria-hidden />}
            <p>{v.data.ok ? t.audit.intact(v.data.entries) : t.audit.broken(v.data.brokenAt ?? 0)}</p>
          </div>
        ) : null}
      </div>
      <ErrorNotice error={v.error} />
    </Dialog>
  )
}
