-- The console lists an organisation's accounts and groups by address, page by page, whatever else the server has. To which
-- organisation an own address belongs its domain tells; the expression is that of directory/browsing.sql.
CREATE INDEX accounts_in_order ON address (split_part(address, '@', -1), address) WHERE account_id IS NOT NULL AND NOT is_alias;
CREATE INDEX groups_in_order ON address (split_part(address, '@', -1), address) WHERE group_id IS NOT NULL AND NOT is_alias;
CREATE INDEX domains_of_organisation ON domain (organisation_id, name);
