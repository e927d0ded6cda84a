import { Check, ChevronDown } from 'lucide-react'
import type { Key, ReactNode } from 'react'
import { Button as AriaButton } from 'react-aria-components/Button'
import { ListBox, ListBoxItem } from 'react-aria-components/ListBox'
import { Menu as AriaMenu, MenuItem as AriaItem, MenuTrigger } from 'react-aria-components/Menu'
import { Popover } from 'react-aria-components/Popover'
import { Label, Text } from 'react-aria-components/TextField'
import { Select as AriaSelect, SelectValue } from 'react-aria-components/Select'
import { ToggleButton } from 'react-aria-components/ToggleButton'
import { ToggleButtonGroup } from 'react-aria-components/ToggleButtonGroup'
import { FieldErrors } from './Field'

/** A button that opens a menu. */
export function Menu(p: { trigger: ReactNode; label: string; children: ReactNode; placement?: 'bottom end' | 'top start' }) {
  return (
    <MenuTrigger>
      {p.trigger}
      <Popover className="popover" placement={p.placement ?? 'bottom end'} offset={4}>
        <AriaMenu className="menu" aria-label={p.label}>
          {p.children}
        </AriaMenu>
      </Popover>
    </MenuTrigger>
  )
}

export function MenuItem(p: { icon?: ReactNode; children: string; onAction?: () => void; bad?: boolean; disabled?: boolean }) {
  return (
    <AriaItem
      className={p.bad ? 'menu-item bad' : 'menu-item'}
      onAction={p.onAction}
      isDisabled={p.disabled}
      textValue={p.children}
    >
      {p.icon}
      <Text slot="label">{p.children}</Text>
    </AriaItem>
  )
}

export function Select(p: {
  label: string
  value: string | null
  options: { id: string; label: string; hint?: string }[]
  onChange: (id: string) => void
  hint?: string
  errors?: string[]
  placeholder?: string
}) {
  return (
    <AriaSelect
      className="field"
      value={p.value}
      onChange={(k: Key | null) => k !== null && p.onChange(String(k))}
      isInvalid={p.errors?.length ? true : undefined}
      placeholder={p.placeholder}
    >
      <Label>{p.label}</Label>
      <AriaButton className="btn select-btn">
        <SelectValue className="truncate">
          {({ isPlaceholder, selectedText, defaultChildren }) => (isPlaceholder ? defaultChildren : selectedText)}
        </SelectValue>
        <ChevronDown aria-hidden />
      </AriaButton>
      {p.hint && (
        <Text slot="description" className="hint">
          {p.hint}
        </Text>
      )}
      <FieldErrors errors={p.errors} />
      <Popover className="popover" offset={4}>
        <ListBox className="listbox" items={p.options}>
          {(o) => (
            <ListBoxItem id={o.id} className="menu-item" textValue={o.label}>
              <span className="grow">
                {o.label}
                {o.hint && <span className="muted small"> {o.hint}</span>}
              </span>
              <Check className="tick" aria-hidden />
            </ListBoxItem>
          )}
        </ListBox>
      </Popover>
    </AriaSelect>
  )
}

/** One of a few, all visible. */
export function Segments<T extends string>(p: {
  label: string
  value: T
  options: { id: T; label: string; icon?: ReactNode }[]
  onChange: (id: T) => void
}) {
  return (
    <ToggleButtonGroup
      className="segments"
      aria-label={p.label}
      selectionMode="single"
      disallowEmptySelection
      selectedKeys={[p.value]}
      onSelectionChange={(keys) => {
        const next = [...keys][0]
        if (next !== undefined) p.onChange(next as T)
      }}
    >
      {p.options.map((o) => (
        <ToggleButton key={o.id} id={o.id} className="segment">
          {o.icon}
          {o.label}
        </ToggleButton>
      ))}
    </ToggleButtonGroup>
  )
}
