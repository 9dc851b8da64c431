package rest

import (
	"context"
	"fmt"
	"net/http"

	"gorm.io/gorm"

	"rollcall/internal/presence"
)

type user struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

type putUserInput struct {
	ID   string `path:"id"`
	Body struct {
		Name string `json:"name" maxLength:"255" doc:"What others see"`
	}
}

type namedUser struct {
	ID   ref    `json:"id"`
	Name string `json:"name" maxLength:"255"`
}

type postUsersInput struct {
	Body struct {
		Users []namedUser `json:"users" nullable:"false"`
	}
}

func (in *postUsersInput) check() error {
	for i, u := range in.Body.Users {
		if err := checkUser(fmt.Sprintf("body.users[%d].id", i), string(u.ID)); err != nil {
			return err
		}
	}
	return nil
}

type usersPut struct {
	Count   int `json:"count" doc:"Different users in the request"`
	Created int `json:"created" doc:"Those of them who had no name before"`
}

type userPath struct {
	ID string `path:"id"`
}

func (d *Door) users() {
	register(d, operation{id: "put-user", role: backend, method: http.MethodPut, path: "/users/{id}", tag: "users", summary: "Name a user", also: []int{http.StatusCreated}, body: fields}, d.putUser)
	register(d, operation{id: "post-users", role: backend, method: http.MethodPost, path: "/users", tag: "users", summary: "Name several users", also: []int{http.StatusCreated}, body: fields,
		detail: "201 if any of them is new."}, d.postUsers)
	registerDelete(d, operation{id: "delete-user", role: admin, path: "/users/{id}", tag: "users", summary: "Forget a user",
		detail: "Erases his name, and his names, addresses and devices from sessions and log. What he is connected to stays."}, d.deleteUser)
}

func (d *Door) putUser(ctx context.Context, in *putUserInput) (*answer[user], error) {
	put, err := d.name(ctx, []presence.User{{ID: in.ID, Name: in.Body.Name}})
	if err != nil {
		return nil, err
	}
	return made(put.Created > 0, user{in.ID, in.Body.Name}), nil
}

func (d *Door) postUsers(ctx context.Context, in *postUsersInput) (*answer[usersPut], error) {
	list := make([]presence.User, 0, len(in.Body.Users))
	for _, u := range in.Body.Users {
		list = append(list, presence.User{ID: string(u.ID), Name: u.Name})
	}
	put, err := d.name(ctx, list)
	if err != nil {
		return nil, err
	}
	return made(put.Created > 0, put), nil
}

// name puts users and counts those who are new.
func (d *Door) name(ctx context.Context, list []presence.User) (usersPut, error) {
	ids := make([]string, 0, len(list))
	different := map[string]bool{}
	for _, u := range list {
		ids = append(ids, u.ID)
		different[u.ID] = true
	}
	put := usersPut{Count: len(different)}
	err := d.DB.Write(ctx, func(ctx context.Context, _ *gorm.DB) error {
		known, err := d.Presence.CountUsers(ctx, ids)
		if err != nil {
			return err
		}
		put.Created = put.Count - known
		return d.Presence.PutUsers(ctx, list)
	})
	return put, err
}

// deleteUser erases the log twice: first in short steps, however much there is, and then, with the rest, what came since.
func (d *Door) deleteUser(ctx context.Context, in *userPath) error {
	if err := d.Notices.Erase(ctx, in.ID); err != nil {
		return err
	}
	return d.DB.Write(ctx, func(ctx context.Context, _ *gorm.DB) error {
		if err := d.Presence.DeleteUser(ctx, in.ID); err != nil {
			return err
		}
		return d.Notices.Erase(ctx, in.ID)
	})
}
