package djformat

import "fmt"

// contentType returns a reference like 7 or ["catalog", "book"].
func (d *decoder) contentType(field string) ContentTypeRef {
	v, ok := d.field(field)
	if !ok {
		return ContentTypeRef{}
	}
	id, key := d.reference(v, "an app label and a model", 2)
	if key == nil {
		return ContentTypeRef{ID: id}
	}
	return ContentTypeRef{
		AppLabel: d.textOf(key[0], d.limits.AppLabel, "AppLabel"),
		Model:    d.textOf(key[1], d.limits.Model, "Model"),
	}
}

// permissions returns references like 25 or ["add_book", "catalog", "book"].
func (d *decoder) permissions(field string) []PermissionRef {
	refs := []PermissionRef{}
	v, ok := d.field(field)
	if !ok {
		return refs
	}
	for _, e := range d.elements(v) {
		id, key := d.reference(e, "a codename, an app label and a model", 3)
		ref := PermissionRef{ID: id}
		if key != nil {
			ref.Codename = d.textOf(key[0], d.limits.Codename, "Codename")
			ref.AppLabel = d.textOf(key[1], d.limits.AppLabel, "AppLabel")
			ref.Model = d.textOf(key[2], d.limits.Model, "Model")
		}
		refs = append(refs, ref)
	}
	return refs
}

// groups returns references like 3 or ["Librarians"].
func (d *decoder) groups(field string) []GroupRef {
	refs := []GroupRef{}
	v, ok := d.field(field)
	if !ok {
		return refs
	}
	for _, e := range d.elements(v) {
		id, key := d.reference(e, "the name of a group", 1)
		ref := GroupRef{ID: id}
		if key != nil {
			ref.Name = d.textOf(key[0], d.limits.GroupName, "GroupName")
		}
		refs = append(refs, ref)
	}
	return refs
}

// reference returns the primary key in v, or the n parts of the natural key.
func (d *decoder) reference(v value, what string, n int) (id int64, key []value) {
	switch v.kind() {
	case kindNumber:
		return d.integer(v), nil
	case kindList:
		key = d.elements(v)
		if d.err == nil && len(key) == n {
			return 0, key
		}
		d.fail(v.offset, v.field, fmt.Sprintf("has a natural key with %d parts; it must be a list of %s", len(key), what))
	default:
		d.fail(v.offset, v.field, fmt.Sprintf("is %s but must be a primary key or a list of %s", v.kind(), what))
	}
	return 0, nil
}
