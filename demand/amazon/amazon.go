// Package amazon is how the sources that read from AWS reach it: the region, the
// credentials and the endpoint. It must not know what is read.
package amazon

import (
	"context"
	"fmt"
	"net/url"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
)

// Config is for a region and credentials. What is missing comes from the AWS
// environment; when nothing is, that and the user's AWS files are left alone.
func Config(region string, credentials aws.CredentialsProvider) (aws.Config, error) {
	if region != "" && credentials != nil {
		return aws.Config{Region: region, Credentials: credentials}, nil
	}
	var options []func(*config.LoadOptions) error
	if region != "" {
		options = append(options, config.WithRegion(region))
	}
	if credentials != nil {
		options = append(options, config.WithCredentialsProvider(credentials))
	}
	// It reads files and the environment only, nothing to be cancelled.
	cfg, err := config.LoadDefaultConfig(context.Background(), options...)
	if err != nil {
		return aws.Config{}, fmt.Errorf("AWS configuration: %w", err)
	}
	if cfg.Region == "" {
		return aws.Config{}, fmt.Errorf("no AWS region: set AWS_REGION, region in the AWS profile, or a trigger's awsRegion")
	}
	return cfg, nil
}

// CheckURL checks the URL that a key has; none is fine.
func CheckURL(key, text string) error {
	if text == "" {
		return nil
	}
	u, err := url.Parse(text)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return fmt.Errorf(`%s %q: it must begin with "http://" or "https://" and name a host`, key, text)
	}
	return nil
}
