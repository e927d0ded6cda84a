import { useInfiniteQuery, useQuery } from '@tanstack/react-query'
import { Link, useNavigate, useSearch } from '@tanstack/react-router'
import { Ellipsis, Eye, FolderPlus, FolderSearch, Pencil, Plus, Trash2 } from 'lucide-react'
import { lazy, Suspense, useCallback, useEffect, useMemo, useRef, useState } from 'react'
import type { Share } from '../../api/types'
import { t } from '../../i18n'
import { Blank, LoadError } from '../../ui/Blank'
import { Button, IconButton } from '../../ui/Button'
import { SearchField } from '../../ui/Field'
import { type Column, Grid } from '../../ui/Grid'
import { Menu, MenuItem, Segments } from '../../ui/Menu'
import { State } from '../../ui/State'
import { Time } from '../../ui/Time'
import { announce } from '../../ui/announce'
import { usePageTitle } from '../../ui/title'
import { nodesQuery } from '../node/api'
import { sharesQuery, type ShareSearch } from './api'
import { reasonOf } from './conditions'

const DeleteShare = lazy(() => import('./DeleteShare').then((m) => ({ default: m.DeleteShare })))
const ShareForm = lazy(() => import('./ShareForm').then((m) => ({ default: m.ShareForm })))

type Open = { what: 'create' } | { what: 'edit' | 'delete'; share: Share } | null

export function ShareList() {
  usePageTitle(t.share.plural)
  const search = useSearch({ strict: false }) as ShareSearch & { new?: boolean }
  const navigate = useNavigate()
  const patch = useCallback(
    (change: Partial<ShareSearch & { new?: boolean }>) =>
      void navigate({ to: '/shares', search: (old: object) => ({ ...old, ...change }), replace: true }),
    [navigate],
  )
  const { new: asked, ...filters } = search
  const shares = useInfiniteQuery(sharesQuery(filters))
  const nodes = useQuery(nodesQuery)
  const [open, setOpen] = useState<Open>(null)
  const rows = useMemo(() => shares.data?.pages.flatMap((p) => p.items) ?? [], [shares.data])
  const total = shares.data?.pages[0]?.total ?? rows.length
  useStateAnnouncements(rows)
  useEffect(() => {
    if (asked) {
      setOpen({ what: 'create' })
      patch({ new: undefined })
    }
  }, [asked, patch])

  const manyNodes = (nodes.data?.total ?? 0) > 1
  const filtered = Boolean(filters.q || filters.state || filters.node)
  const create = () => setOpen({ what: 'create' })

  const columns = useMemo<Column<Share>[]>(() => {
    const all: (Column<Share> | false)[] = [
      {
        id: 'name',
        header: t.share.name,
        width: 'minmax(170px, 2fr)',
        sortKey: 'name',
        render: (s) => {
          const why = s.status.phase === 'Failed' ? reasonOf(s) : undefined
          return (
            <div className="cell-main">
              <Link to="/shares/$uid" params={{ uid: s.uid }} className="truncate">
                {s.name}
              </Link>
              {why ? (
                <span className="under truncate bad-text" title={why}>
                  {why}
                </span>
              ) : (
                <span className="under drop truncate">{s.comment || s.status.path || s.path || ' '}</span>
              )}
            </div>
          )
        },
      },
      { id: 'state', header: t.share.state, width: '122px', narrowWidth: '98px', sortKey: 'ready', render: (s) => <State of={s.status.phase} /> },
      manyNodes && {
        id: 'node',
        header: t.node.one,
        width: 'minmax(90px, 0.8fr)',
        hide: 'medium',
        render: (s) => <span className="truncate">{s.nodeName}</span>,
      },
      {
        id: 'access',
        header: t.share.access,
        width: 'minmax(110px, 1.1fr)',
        hide: 'narrow',
        render: (s) => (
          <div className="truncate" title={s.validUsers?.join(', ')}>
            {s.validUsers?.length ? s.validUsers.join(', ') : <span className="muted">{t.share.everyone}</span>}
            {s.readOnly && <span className="muted"> · {t.share.readOnlyShort}</span>}
          </div>
        ),
      },
      {
        id: 'path',
        header: t.share.path,
        width: 'minmax(140px, 1.5fr)',
        hide: 'medium',
        sortKey: 'path',
        render: (s) => <span className="mono small truncate muted path">{s.status.path || s.path || '—'}</span>,
      },
      {
        id: 'changed',
        header: t.common.changed,
        width: '116px',
        hide: 'narrow',
        sortKey: 'updatedAt',
        render: (s) => (
          <span className="muted">
            <Time at={s.updatedAt} />
          </span>
        ),
      },
      {
        id: 'actions',
        header: t.common.actions,
        hideHeader: true,
        width: 'var(--control)',
        end: true,
        render: (s) => (
          <Menu
            label={t.common.actionsFor(s.name)}
            trigger={<IconButton label={t.common.actionsFor(s.name)} icon={<Ellipsis aria-hidden />} />}
          >
            <MenuItem icon={<Eye aria-hidden />} onAction={() => void navigate({ to: '/shares/$uid', params: { uid: s.uid } })}>
              {t.share.view}
            </MenuItem>
            <MenuItem icon={<Pencil aria-hidden />} onAction={() => setOpen({ what: 'edit', share: s })}>
              {t.common.edit}
            </MenuItem>
            <MenuItem icon={<Trash2 aria-hidden />} bad onAction={() => setOpen({ what: 'delete', share: s })}>
              {t.common.delete}
            </MenuItem>
          </Menu>
        ),
      },
    ]
    return all.filter((c) => c !== false)
  }, [manyNodes, navigate])

  const { hasNextPage, isFetchingNextPage, fetchNextPage } = shares
  const more = useCallback(() => {
    if (hasNextPage && !isFetchingNextPage) void fetchNextPage()
  }, [hasNextPage, isFetchingNextPage, fetchNextPage])

  return (
    <div className="page list">
      <div className="page-head">
        <div className="titles">
          <h1>{t.share.plural}</h1>
        </div>
        <Button look="primary" onPress={create}>
          <Plus aria-hidden /> {t.share.create}
        </Button>
      </div>
      <div className="toolbar">
        <SearchField label={t.share.search} value={filters.q ?? ''} onChange={(q) => patch({ q: q || undefined })} />
        <Segments
          label={t.share.filterState}
          value={filters.state ?? 'all'}
          onChange={(id) => patch({ state: id === 'all' ? undefined : id })}
          options={[
            { id: 'all', label: t.share.all },
            { id: 'ready', label: t.states.Ready },
            { id: 'applying', label: t.states.Applying },
            { id: 'failed', label: t.states.Failed },
          ]}
        />
        {shares.data && <span className="total num">{t.share.count(total)}</span>}
      </div>
      {shares.isError && !shares.data ? (
        <LoadError error={shares.error} retry={() => void shares.refetch()} />
      ) : (
        <Grid
          label={t.share.plural}
          columns={columns}
          rows={rows}
          total={total}
          rowKey={(s) => s.uid}
          loading={shares.isPending}
          sort={filters.sort ?? 'name'}
          onSort={(sort) => patch({ sort })}
          onEnd={more}
          blank={
            filtered ? (
              <Blank
                icon={<FolderSearch aria-hidden />}
                title={t.share.noneFound}
                actions={
                  <Button onPress={() => patch({ q: undefined, state: undefined, node: undefined })}>
                    {t.list.clearFilters}
                  </Button>
                }
              />
            ) : (
              <Blank
                icon={<FolderPlus aria-hidden />}
                title={t.share.none}
                actions={
                  <Button look="primary" onPress={create}>
                    <Plus aria-hidden /> {t.share.create}
                  </Button>
                }
              >
                {t.share.noneHint}
              </Blank>
            )
          }
        />
      )}
      <Suspense>
        {open?.what === 'create' && <ShareForm onClose={() => setOpen(null)} />}
        {open?.what === 'edit' && <ShareForm share={open.share} onClose={() => setOpen(null)} />}
        {open?.what === 'delete' && <DeleteShare share={open.share} onClose={() => setOpen(null)} />}
      </Suspense>
    </div>
  )
}

/** Says aloud when a share that is shown changes its state. Many at once are said as a number. */
function useStateAnnouncements(rows: Share[]) {
  const before = useRef(new Map<string, string>())
  useEffect(() => {
    const moved = rows.filter((s) => {
      const old = before.current.get(s.uid)
      return old !== undefined && old !== s.status.phase
    })
    if (moved.length === 1) announce(t.share.nowState(moved[0]!.name, t.states[moved[0]!.status.phase]))
    else if (moved.length > 1) announce(t.share.manyChanged(moved.length))
    before.current = new Map(rows.map((s) => [s.uid, s.status.phase]))
  }, [rows])
}
