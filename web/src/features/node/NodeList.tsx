import { useQuery } from '@tanstack/react-query'
import { Link } from '@tanstack/react-router'
import { Plus, Server } from 'lucide-react'
import { useMemo, useState } from 'react'
import type { Node } from '../../api/types'
import { t } from '../../i18n'
import { Blank, LoadError } from '../../ui/Blank'
import { Button } from '../../ui/Button'
import { type Column, Grid } from '../../ui/Grid'
import { State } from '../../ui/State'
import { Time } from '../../ui/Time'
import { usePageTitle } from '../../ui/title'
import { AddNode } from './AddNode'
import { nodesQuery } from './api'

export function NodeList() {
  usePageTitle(t.node.plural)
  const nodes = useQuery(nodesQuery)
  const [adding, setAdding] = useState(false)
  const columns = useMemo<Column<Node>[]>(
    () => [
      {
        id: 'name',
        header: t.node.name,
        width: 'minmax(150px, 1.4fr)',
        render: (n) => (
          <div className="cell-main">
            <Link to="/nodes/$uid" params={{ uid: n.uid }} className="truncate">
              {n.name}
            </Link>
            <span className="under drop truncate">
              {n.status.held?.length ? (
                <span className="busy-text">{t.node.heldShort(n.status.held.length)}</span>
              ) : (
                n.address || n.status.hostname || ' '
              )}
            </span>
          </div>
        ),
      },
      { id: 'state', header: t.share.state, width: '122px', narrowWidth: '98px', render: (n) => <State of={n.status.phase} /> },
      {
        id: 'samba',
        header: 'Samba',
        width: 'minmax(100px, 0.8fr)',
        hide: 'narrow',
        render: (n) => <span className="truncate">{n.status.sambaVersion || '—'}</span>,
      },
      {
        id: 'agent',
        header: t.node.agent,
        width: 'minmax(100px, 0.8fr)',
        hide: 'medium',
        render: (n) => <span className="truncate">{n.status.agentVersion || '—'}</span>,
      },
      {
        id: 'roots',
        header: t.node.roots,
        width: 'minmax(140px, 1.4fr)',
        hide: 'medium',
        render: (n) => <span className="mono small muted truncate path">{n.shareRoots?.join(', ') || '—'}</span>,
      },
      {
        id: 'seen',
        header: t.node.seen,
        width: '116px',
        hide: 'narrow',
        render: (n) => (
          <span className="muted">
            <Time at={n.status.lastSeenAt} />
          </span>
        ),
      },
    ],
    [],
  )
  const add = (
    <Button look="primary" onPress={() => setAdding(true)}>
      <Plus aria-hidden /> {t.node.add}
    </Button>
  )
  return (
    <div className="page list">
      <div className="page-head">
        <div className="titles">
          <h1>{t.node.plural}</h1>
        </div>
        {add}
      </div>
      {nodes.isError && !nodes.data ? (
        <LoadError error={nodes.error} retry={() => void nodes.refetch()} />
      ) : (
        <Grid
          label={t.node.plural}
          columns={columns}
          rows={nodes.data?.items ?? []}
          total={nodes.data?.total ?? 0}
          rowKey={(n) => n.uid}
          loading={nodes.isPending}
          blank={
            <Blank icon={<Server aria-hidden />} title={t.node.none} actions={add}>
              {t.node.noneHint}
            </Blank>
          }
        />
      )}
      {adding && <AddNode onClose={() => setAdding(false)} />}
    </div>
  )
}
