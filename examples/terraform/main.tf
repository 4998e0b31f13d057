# A cluster, a task definition and a service on Plimsoll's embedded engine, by
# the AWS provider as it is. See README.md for how to run it.
terraform {
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.0"
    }
  }
}

variable "endpoint" {
  description = "Where the engine answers: AWS_ENDPOINT_URL of plimsoll env."
  default     = "http://127.0.0.1:4580"
}

# The access key comes from the environment (plimsoll env). Every request is
# signed with it, and the engine verifies that.
provider "aws" {
  region                      = "us-east-1"
  skip_metadata_api_check     = true
  skip_region_validation      = true
  skip_credentials_validation = true

  endpoints {
    ecs = var.endpoint
    sts = var.endpoint
    sqs = var.endpoint
  }
}

resource "aws_ecs_cluster" "demo" {
  name = "demo"

  setting {
    name  = "containerInsights"
    value = "disabled"
  }
}

resource "aws_ecs_task_definition" "web" {
  family                = "web"
  container_definitions = file("${path.module}/web.json")

  placement_constraints {
    type       = "memberOf"
    expression = "attribute:ecs.os-type == linux"
  }
}

resource "aws_ecs_service" "web" {
  name                               = "web"
  cluster                            = aws_ecs_cluster.demo.arn
  task_definition                    = aws_ecs_task_definition.web.arn
  desired_count                      = 2
  launch_type                        = "EC2"
  deployment_minimum_healthy_percent = 50
  deployment_maximum_percent         = 200
  wait_for_steady_state              = true

  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }

  ordered_placement_strategy {
    type  = "spread"
    field = "attribute:ecs.availability-zone"
  }

  tags = {
    # The priority among the services that want the same hosts; 1 is the highest.
    "plimsoll:priority" = "1"
  }
}
