import { Check } from 'lucide-react'
import type { ReactNode } from 'react'
import { Header } from 'react-aria-components/Header'
import { Menu, MenuItem, MenuSection, MenuTrigger } from 'react-aria-components/Menu'
import { Popover } from 'react-aria-components/Popover'
import { t } from '../i18n'
import { type Appearance, setAppearance, useAppearance } from './appearance'

const groups = {
  theme: ['system', 'light', 'dark'],
  contrast: ['system', 'normal', 'high'],
  density: ['comfortable', 'compact'],
} as const

/** Theme, contrast and density. Stays open, so that choices can be seen and compared. */
export function AppearanceMenu({ trigger }: { trigger: ReactNode }) {
  const a = useAppearance()
  return (
    <MenuTrigger>
      {trigger}
      <Popover className="popover" placement="top start" offset={4}>
        <Menu className="menu tall" aria-label={t.appearance.title} shouldCloseOnSelect={false}>
          {(Object.keys(groups) as (keyof Appearance)[]).map((g) => (
            <MenuSection
              key={g}
              selectionMode="single"
              disallowEmptySelection
              selectedKeys={[`${g}:${a[g]}`]}
              onSelectionChange={(keys) => setAppearance({ [g]: String([...keys][0]).slice(g.length + 1) })}
            >
              <Header className="menu-head">{t.appearance[g]}</Header>
              {groups[g].map((id) => (
                <MenuItem key={id} id={`${g}:${id}`} className="menu-item" textValue={t.appearance.choices[id]}>
                  {t.appearance.choices[id]}
                  <Check className="tick" aria-hidden />
                </MenuItem>
              ))}
            </MenuSection>
          ))}
        </Menu>
      </Popover>
    </MenuTrigger>
  )
}
