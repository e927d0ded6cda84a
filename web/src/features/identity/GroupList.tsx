import { useInfiniteQuery, useMutation } from '@tanstack/react-query'
import { useNavigate, useSearch } from '@tanstack/react-router'
import { Ellipsis, Pencil, Plus, Search, Trash2, Users } from 'lucide-react'
import { useCallback, useMemo, useState } from 'react'
import { newID } from '../../api/http'
import { fieldErrors, isStale } from '../../api/problem'
import type { Group } from '../../api/types'
import { t } from '../../i18n'
import { Blank, ErrorNotice, LoadError } from '../../ui/Blank'
import { Button, IconButton } from '../../ui/Button'
import { Confirm } from '../../ui/Confirm'
import { Dialog, FormFooter } from '../../ui/Dialog'
import { SearchField, TextField } from '../../ui/Field'
import { type Column, Grid } from '../../ui/Grid'
import { Menu, MenuItem } from '../../ui/Menu'
import { Time } from '../../ui/Time'
import { usePageTitle } from '../../ui/title'
import { toast } from '../../ui/toast'
import { createGroup, deleteGroup, groupsQuery, type PeopleSearch, updateGroup } from './api'
import { PrincipalPicker } from './PrincipalPicker'

type Open = { what: 'create' } | { what: 'edit' | 'delete'; group: Group } | null

export function GroupList() {
  usePageTitle(t.group.plural)
  const search = useSearch({ strict: false }) as PeopleSearch
  const navigate = useNavigate()
  const patch = (change: PeopleSearch) =>
    void navigate({ to: '/groups', search: (old: object) => ({ ...old, ...change }), replace: true })
  const groups = useInfiniteQuery(groupsQuery(search))
  const [open, setOpen] = useState<Open>(null)
  const rows = useMemo(() => groups.data?.pages.flatMap((p) => p.items) ?? [], [groups.data])
  const total = groups.data?.pages[0]?.total ?? rows.length
  const { hasNextPage, isFetchingNextPage, fetchNextPage } = groups
  const more = useCallback(() => {
    if (hasNextPage && !isFetchingNextPage) void fetchNextPage()
  }, [hasNextPage, isFetchingNextPage, fetchNextPage])
  const columns = useMemo<Column<Group>[]>(
    () => [
      {
        id: 'name',
        header: t.group.name,
        width: 'minmax(130px, 1fr)',
        sortKey: 'name',
        render: (g) => (
          <div className="cell-main">
            <span className="name truncate">{g.name}</span>
          </div>
        ),
      },
      {
        id: 'members',
        header: t.group.members,
        width: 'minmax(130px, 2fr)',
        narrowWidth: 'minmax(0, 1fr)',
        render: (g) => (
          <div className="cell-main">
            <span className="truncate">{g.members?.join(', ') || <span className="muted">{t.group.empty}</span>}</span>
          </div>
        ),
      },
      { id: 'id', header: t.user.id, width: '90px', hide: 'medium', render: (g) => <span className="num muted">{g.id}</span> },
      {
        id: 'changed',
        header: t.common.changed,
        width: '116px',
        hide: 'narrow',
        sortKey: 'updatedAt',
        render: (g) => (
          <span className="muted">
            <Time at={g.updatedAt} />
          </span>
        ),
      },
      {
        id: 'actions',
        header: t.common.actions,
        hideHeader: true,
        width: 'var(--control)',
        end: true,
        render: (g) => (
          <Menu
            label={t.common.actionsFor(g.name)}
            trigger={<IconButton label={t.common.actionsFor(g.name)} icon={<Ellipsis aria-hidden />} />}
          >
            <MenuItem icon={<Pencil aria-hidden />} onAction={() => setOpen({ what: 'edit', group: g })}>
              {t.common.edit}
            </MenuItem>
            <MenuItem icon={<Trash2 aria-hidden />} bad onAction={() => setOpen({ what: 'delete', group: g })}>
              {t.common.delete}
            </MenuItem>
          </Menu>
        ),
      },
    ],
    [],
  )
  const close = () => setOpen(null)
  const createButton = (
    <Button look="primary" onPress={() => setOpen({ what: 'create' })}>
      <Plus aria-hidden /> {t.group.create}
    </Button>
  )
  return (
    <div className="page list">
      <div className="page-head">
        <div className="titles">
          <h1>{t.group.plural}</h1>
        </div>
        {createButton}
      </div>
      <div className="toolbar">
        <SearchField label={t.group.search} value={search.q ?? ''} onChange={(q) => patch({ q: q || undefined })} />
        {groups.data && <span className="total num">{t.group.count(total)}</span>}
      </div>
      {groups.isError && !groups.data ? (
        <LoadError error={groups.error} retry={() => void groups.refetch()} />
      ) : (
        <Grid
          label={t.group.plural}
          columns={columns}
          rows={rows}
          total={total}
          rowKey={(g) => g.uid}
          loading={groups.isPending}
          sort={search.sort ?? 'name'}
          onSort={(sort) => patch({ sort })}
          onEnd={more}
          blank={
            search.q ? (
              <Blank icon={<Search aria-hidden />} title={t.group.noneFound} />
            ) : (
              <Blank icon={<Users aria-hidden />} title={t.group.none} actions={createButton}>
                {t.group.noneHint}
              </Blank>
            )
          }
        />
      )}
      {open?.what === 'create' && <GroupForm onClose={close} />}
      {open?.what === 'edit' && <GroupForm group={open.group} onClose={close} />}
      {open?.what === 'delete' && (
        <Confirm
          title={t.group.deleteTitle(open.group.name)}
          action={t.group.deleteAction}
          run={(force) => deleteGroup(open.group, newID(), force)}
          inUse="group.in_use"
          onDone={() => toast(t.group.deleted(open.group.name))}
          onClose={close}
        >
          <p>{t.group.deleteText(open.group.name)}</p>
        </Confirm>
      )}
    </div>
  )
}

function GroupForm({ group, onClose }: { group?: Group; onClose: () => void }) {
  const [name, setName] = useState(group?.name ?? '')
  const [members, setMembers] = useState(group?.members ?? [])
  const save = useMutation({
    mutationFn: () => {
      if (group) return updateGroup(group, { members }, newID())
      return createGroup({ name: name.trim(), members }, newID())
    },
    onSuccess: (g) => {
      toast(group ? t.group.saved(g.name) : t.group.created(g.name))
      onClose()
    },
  })
  const errs = fieldErrors(save.error, ['name', 'members'])
  return (
    <Dialog
      title={group ? t.group.editTitle(group.name) : t.group.create}
      onClose={onClose}
      busy={save.isPending}
      errorCount={Object.keys(errs.fields).length > 0 ? save.submittedAt : 0}
      onSubmit={() => save.mutate()}
      footer={<FormFooter submit={group ? t.common.save : t.group.createAction} busy={save.isPending} onClose={onClose} />}
    >
      <TextField
        label={t.group.name}
        name="name"
        value={name}
        onChange={setName}
        errors={errs.fields.name}
        hint={group ? t.user.nameStays : t.group.nameHint}
        readOnly={Boolean(group)}
        required
        autoFocus={!group}
      />
      <PrincipalPicker
        only="user"
        label={t.group.members}
        value={members}
        onChange={setMembers}
        errors={errs.fields.members}
      />
      <ErrorNotice error={isStale(save.error) ? new Error(t.error.changedText) : save.error} extra={errs.rest} />
    </Dialog>
  )
}
