import { useMutation, useQuery } from '@tanstack/react-query'
import { ChevronRight, TriangleAlert } from 'lucide-react'
import { useState } from 'react'
import { Button as AriaButton } from 'react-aria-components/Button'
import { Disclosure, DisclosurePanel } from 'react-aria-components/Disclosure'
import { Heading } from 'react-aria-components/Heading'
import { newID, request } from '../../api/http'
import { fieldErrors, isStale } from '../../api/problem'
import type { Share, ShareSpec } from '../../api/types'
import { t } from '../../i18n'
import { ErrorNotice } from '../../ui/Blank'
import { Button } from '../../ui/Button'
import { Dialog, FormFooter } from '../../ui/Dialog'
import { Checkbox, TextField } from '../../ui/Field'
import { Select } from '../../ui/Menu'
import { toast } from '../../ui/toast'
import { PrincipalPicker } from '../identity/PrincipalPicker'
import { nodesQuery } from '../node/api'
import { createShare, updateShare } from './api'

const fields = ['name', 'node', 'comment', 'validUsers', 'readOnly', 'path', 'createPath', 'browseable', 'readList', 'writeList'] as const

interface Draft {
  name: string
  node: string
  comment: string
  validUsers: string[]
  readList: string[]
  writeList: string[]
  readOnly: boolean
  path: string
  createPath: boolean
  browseable: boolean
}

const draftOf = (s?: Share): Draft => ({
  name: s?.name ?? '',
  node: s?.node ?? '',
  comment: s?.comment ?? '',
  validUsers: s?.validUsers ?? [],
  readList: s?.readList ?? [],
  writeList: s?.writeList ?? [],
  readOnly: s?.readOnly ?? false,
  path: s?.path ?? '',
  createPath: s?.createPath ?? true,
  browseable: s?.browseable ?? true,
})

/** The fields of a draft that differ, as a merge patch. */
export function changes(from: Draft, to: Draft): Partial<ShareSpec> {
  const out: Record<string, unknown> = {}
  for (const key of Object.keys(to) as (keyof Draft)[])
    if (JSON.stringify(from[key]) !== JSON.stringify(to[key])) out[key] = to[key]
  return out
}

/** Creates a share, or edits the one that is given. */
export function ShareForm({ share, onClose, onDone }: { share?: Share; onClose: () => void; onDone?: (s: Share) => void }) {
  const nodes = useQuery(nodesQuery)
  const [base, setBase] = useState(share)
  const [d, setD] = useState<Draft>(() => draftOf(share))
  const set = (change: Partial<Draft>) => setD((old) => ({ ...old, ...change }))
  const list = nodes.data?.items ?? []
  const node = list.find((n) => n.uid === d.node) ?? (list.length === 1 ? list[0] : undefined)
  const root = node?.shareRoots?.[0]

  const save = useMutation({
    mutationFn: () => {
      const id = newID()
      if (base) return updateShare(base, changes(draftOf(base), d), id)
      const body: ShareSpec = {
        name: d.name.trim(),
        comment: d.comment || undefined,
        readOnly: d.readOnly,
        browseable: d.browseable,
        createPath: d.createPath,
        validUsers: d.validUsers,
      }
      if (d.node) body.node = d.node
      if (d.path.trim()) body.path = d.path.trim()
      if (d.readList.length > 0) body.readList = d.readList
      if (d.writeList.length > 0) body.writeList = d.writeList
      return createShare(body, id)
    },
    onSuccess: (s) => {
      toast(base ? t.share.saved(s.name) : t.share.created(s.name))
      onClose()
      onDone?.(s)
    },
  })
  const errs = fieldErrors(save.error, fields)
  const advanced = ['path', 'readList', 'writeList', 'createPath', 'browseable'].some((f) => errs.fields[f])
  const [more, setMore] = useState(Boolean(share && (share.readList?.length || share.writeList?.length)))
  const conflict = isStale(save.error)
  const reload = useMutation({
    mutationFn: () => request<Share>(`/shares/${base!.uid}`),
    onSuccess: (now) => {
      setBase(now)
      setD(draftOf(now))
      save.reset()
    },
  })

  return (
    <Dialog
      wide
      title={base ? t.share.editTitle(base.name) : t.share.create}
      onClose={onClose}
      busy={save.isPending}
      errorCount={Object.keys(errs.fields).length > 0 ? save.submittedAt : 0}
      onSubmit={() => save.mutate()}
      footer={<FormFooter submit={base ? t.common.save : t.share.createAction} busy={save.isPending} onClose={onClose} />}
    >
      <TextField
        label={t.share.name}
        name="name"
        value={d.name}
        onChange={(name) => set({ name })}
        errors={errs.fields.name}
        hint={t.share.nameHint}
        required
        autoFocus={!base}
      />
      {list.length > 1 && (
        <Select
          label={t.node.one}
          value={d.node || null}
          onChange={(n) => set({ node: n })}
          errors={errs.fields.node}
          placeholder={t.share.chooseNode}
          options={list.map((n) => ({ id: n.uid, label: n.name, hint: n.status.phase === 'Online' ? '' : t.states[n.status.phase] }))}
        />
      )}
      <PrincipalPicker
        label={t.share.validUsers}
        hint={d.validUsers.length === 0 ? t.share.validUsersEmpty : t.share.validUsersHint}
        value={d.validUsers}
        onChange={(validUsers) => set({ validUsers })}
        errors={errs.fields.validUsers}
      />
      <Checkbox
        label={t.share.readOnly}
        hint={t.share.readOnlyHint}
        selected={d.readOnly}
        onChange={(readOnly) => set({ readOnly })}
      />
      <TextField
        label={t.share.comment}
        name="comment"
        value={d.comment}
        onChange={(comment) => set({ comment })}
        errors={errs.fields.comment}
        optional
      />
      <Disclosure className="disclosure" isExpanded={more || advanced} onExpandedChange={setMore}>
        <Heading level={3}>
          <AriaButton slot="trigger" className="btn quiet">
            <ChevronRight className="chev" aria-hidden /> {t.share.advanced}
          </AriaButton>
        </Heading>
        <DisclosurePanel className="disclosure-panel">
          <div className="stack loose">
            <TextField
              label={t.share.path}
              name="path"
              value={d.path}
              onChange={(path) => set({ path })}
              errors={errs.fields.path}
              placeholder={root ? `${root}/${d.name || t.share.nameWord}` : undefined}
              hint={root ? t.share.pathHint(root) : t.share.pathHintPlain}
              mono
              optional
            />
            <Checkbox label={t.share.createPath} selected={d.createPath} onChange={(createPath) => set({ createPath })} />
            <Checkbox
              label={t.share.browseable}
              hint={t.share.browseableHint}
              selected={d.browseable}
              onChange={(browseable) => set({ browseable })}
            />
            <PrincipalPicker
              label={t.share.readList}
              hint={t.share.readListHint}
              value={d.readList}
              onChange={(readList) => set({ readList })}
              errors={errs.fields.readList}
            />
            <PrincipalPicker
              label={t.share.writeList}
              hint={t.share.writeListHint}
              value={d.writeList}
              onChange={(writeList) => set({ writeList })}
              errors={errs.fields.writeList}
            />
          </div>
        </DisclosurePanel>
      </Disclosure>
      {conflict ? (
        <div className="notice busy" role="alert">
          <TriangleAlert aria-hidden />
          <div className="grow">
            <strong>{t.error.changedTitle}</strong>
            <div>{t.error.changedText}</div>
          </div>
          <Button size="sm" onPress={() => reload.mutate()} busy={reload.isPending}>
            {t.error.reload}
          </Button>
        </div>
      ) : (
        <ErrorNotice error={save.error} extra={errs.rest} />
      )}
    </Dialog>
  )
}
